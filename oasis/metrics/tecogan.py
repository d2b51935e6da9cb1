"""Which pixels and frames TecoGAN's metrics.py scores (thunil/TecoGAN@bc747a4: `crop_8x8`, `cutfr`)."""


def tecogan_crop(height: int, width: int) -> tuple[slice, slice]:
    """Return the rows and columns that count: the largest multiples of 32 at least 16 pixels below the size, centred.

    ValueError if a side is below 48 pixels, of which nothing would be left.
    """
    return _centre(height), _centre(width)


def tecogan_frames(count: int) -> range:
    """Return the frames that count, all but the first and last two; measures of pairs begin at the second of them.

    ValueError if there are fewer than 5 frames.
    """
    if count < 5:
        raise ValueError(f"TecoGAN's protocol leaves out the first and last 2 frames: it needs 5, the clip has {count}")
    return range(2, count - 2)


def _centre(side: int) -> slice:
    kept = (side - 16) // 32 * 32
    if kept < 32:
        raise ValueError(f"TecoGAN's protocol cuts 16 pixels or more off each side: it needs 48, the clip has {side}")
    return slice((side - kept) // 2, (side - kept) // 2 + kept)
