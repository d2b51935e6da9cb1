"""Odd videos: those that are read, those that are refused, and those that are none or not whole."""

import shutil

import av
import numpy as np
from made import GREY, encode


def cut(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def alone(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=48000)
        frame = av.AudioFrame(layout="stereo", samples=4096)
        frame.sample_rate = 48000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


TURNED = {"prepare": lambda stream: stream.set_display_rotation(45)}
ALPHA = np.concatenate([GREY, np.full((4, 48, 64, 1), 255, np.uint8)], axis=3)
READ = {
    "interlaced.mp4": {"options": {"x264-params": "tff=1"}},
    "jpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "flash.flv": {"codec": "flv", "pixels": "yuv420p"},
    "broadcast.ts": {"images": np.repeat(GREY, 10, axis=0), "codec": "mpeg2video"},
    "sound.ts": {"audio": "aac"},
    "disc.mpg": {"images": np.repeat(GREY, 10, axis=0), "codec": "mpeg2video", "options": {"bf": "2"}},
    "windows.wmv": {"codec": "wmv2"},
    "exchange.mxf": {"images": np.repeat(GREY, 10, axis=0), "codec": "mpeg2video"},
    "web.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8"}},
    "film.mov": {"codec": "prores_ks", "pixels": "yuv422p10le"},
    "raw.hevc": {"codec": "libx265", "pixels": "yuv420p12le", "options": {"x265-params": "log-level=none"}},
    "plain.y4m": {"codec": "wrapped_avframe", "kind": "yuv4mpegpipe"},
    "old.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "reordered.avi": {"images": np.repeat(GREY, 8, axis=0), "options": {"bf": "2"}},
    "open.mp4": {"images": np.repeat(GREY, 8, axis=0), "options": {"x264-params": "open-gop=1:keyint=8:bframes=3"}},
    "grey.mkv": {"codec": "ffv1", "pixels": "gray"},
    "grey12.mkv": {"codec": "ffv1", "pixels": "gray12le"},
    "narrow.mkv": {"codec": "ffv1", "pixels": "yuv411p"},
    "opaque.mkv": {"images": ALPHA, "codec": "ffv1", "pixels": "bgra"},
    "packed.mov": {"codec": "v210", "pixels": "yuv422p10le"},
    "palette.mov": {"codec": "qtrle", "pixels": "rgb24"},
    "pixel.mkv": {"images": GREY[:, :1, :1], "codec": "ffv1", "pixels": "bgr0"},
    "wide.mkv": {"images": np.repeat(GREY[:, :8, :40], 100, axis=2), "codec": "ffv1", "pixels": "bgr0"},
    "still.mp4": {"images": GREY[:1]},
    "strip.mp4": {"images": GREY[:, :2], "codec": "libx264"},
    "cinema.mkv": {"codec": "ffv1", "pixels": "yuv444p16le"},
    "names:colon.mp4": {},
}
REFUSED = {
    "clear.mkv": ({"images": ALPHA // 2, "codec": "ffv1", "pixels": "bgra"}, "transparent"),
    "clear.webm": ({"images": ALPHA, "codec": "libvpx-vp9", "pixels": "yuva420p"}, "transparent"),
    "tilted.mov": (TURNED, "no multiple of 90"),
    "coarse.mov": ({"codec": "qtrle", "pixels": "rgb555be"}, "rgb555.e is not read"),
}
BROKEN = {
    "cut.mp4": lambda path: cut(encode(path), 0.5),
    "cut.mkv": lambda path: cut(encode(path), 0.9),
    "sound.mka": alone,
    "empty.mp4": lambda path: path.touch(),
    "text.mp4": lambda path: path.write_text("not a video at all, only words", encoding="utf-8"),
    "picture.mp4": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"),
    "folder": lambda path: path.mkdir(),
    "shorn.mov": lambda path: shutil.copy(cut(encode(path.with_suffix(".mp4")), 0.2), path),
}
