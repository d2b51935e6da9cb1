"""Videos of many kinds, made for tests, and what a video is to become without a file behind it."""

from fractions import Fraction

import av
import numpy as np

from oasis import video
from oasis.video.colour import described

GREY = np.arange(4, dtype=np.uint8)[:, None, None, None] * 40 + np.zeros((48, 64, 3), np.uint8)


def noise(count, height, width, bits=8, seed=0):
    """Return frames as `source.frames` gives them for RGB of so many bits."""
    levels = np.random.default_rng(seed).integers(0, 2**bits, (count, height, width, 3))
    return list(levels.astype(np.uint8) if bits == 8 else np.rint(levels * 65535 / (2**bits - 1)).astype(np.uint16))


def smooth(count, height, width, bits=8):
    """Return frames that codecs keep well, of all levels from dark to bright."""
    ramp = np.add.outer(np.linspace(0.1, 0.6, height), np.linspace(0, 0.3, width))
    frames = [np.stack([ramp + number / (20 * count), ramp, ramp[::-1]], axis=-1) for number in range(count)]
    return [np.rint(frame * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16) for frame in frames]


# MP4 and MOV store a start in units of the movie, 1 ms by default.
FINE = {"movie_timescale": "720000"}


def encode(
    path,
    images=GREY,
    *,
    codec="libx264",
    pixels="yuv420p",
    kind=None,
    times=None,
    tick=Fraction(1, 25),
    prepare=None,
    audio=None,
    options=None,
    settings=None,
):
    """Write RGB frames with settings that the project's writers do not have; `times` are in ticks, `audio` names a codec.

    `options` are the encoder's, `settings` the container's.
    """
    with av.open(str(path), "w", format=kind, options=settings or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *images[0].shape[:2], pixels
        stream.codec_context.time_base = tick
        if prepare:
            prepare(stream)
        sound = container.add_stream(audio, rate=48000) if audio else None
        if sound:
            sound.codec_context.layout = "mono"
            sound.metadata["language"] = "fin"
            container.metadata["title"] = "A title"
        for number, image in enumerate(images):
            form = {3: "rgb24", 4: "rgba"}[image.shape[2]] if image.dtype == np.uint8 else "rgb48le"
            frame = av.VideoFrame.from_ndarray(image, format=form).reformat(format=pixels)
            frame.pts, frame.time_base = times[number] if times else number, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound:
            container.mux(_sound(sound, round(len(images) * 1920)))
    return path


def _sound(stream, samples):
    wave = (np.random.default_rng(0).standard_normal((1, samples)) * 3000).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
    resampler = av.AudioResampler(stream.codec_context.format, "mono", 48000, stream.codec_context.frame_size or 1024)
    parts = [*resampler.resample(frame), *resampler.resample(None)]
    return [packet for part in [*parts, None] for packet in stream.encode(part)]


def plain(folder, height, width, *, bits=8, fps=Fraction(25), tick=None, **more):
    """Return a source of RGB, without anything beside it."""
    about = {
        "path": folder,
        "height": height,
        "width": width,
        "bits": bits,
        "fps": fps,
        "time_base": tick or 1 / fps,
        "constant_rate": True,
        "tags": video.Tags(),
        "colour": described(av.VideoFormat("rgb24"), 2, 0, height),
        "pixel_aspect": Fraction(1),
        "frames": None,
        "streams": (),
        "codec": "png",
        "interlaced": False,
        "rotation": 0,
        "mirrored": False,
    }
    return video.Source(**(about | more))


def packets(path, kind):
    """Return (seconds, bytes) of the packets of one kind of stream."""
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(stream) if packet.size]
