"""Lists that come as text: strictly UTF-8, so that a damaged name is no other name."""

from reparam.errors import DataError


def read_lines(data: bytes, where: object) -> list[str]:
    """The lines that are not empty, without spaces around them. A byte order mark and Windows' line ends are allowed; raises
    `DataError` for what is no text."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not text ({error.reason}): fetch it again") from error
    if "\0" in text:
        raise DataError(f"{where} is not text (it holds NUL): fetch it again")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [line.strip() for line in lines if line.strip()]
