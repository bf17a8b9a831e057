"""Media types that a header `Accept` names explicitly, apart from wildcards."""


def names(accept: str, media_type: str) -> bool:
    """Return True if a header `Accept` names the media type itself, not only as `*/*` or `text/*`.

    Clients that send no header of their own have a wildcard, so a wildcard says nothing about what
    a client knows.
    """
    for entry in accept.split(","):
        named, *parameters = (part.strip().lower() for part in entry.split(";"))
        if named == media_type:
            return not any(_is_zero(parameter) for parameter in parameters)
    return False


def _is_zero(parameter: str) -> bool:
    """Return True if a parameter of a media type is `q=0`, that is, not acceptable."""
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and value.strip() != "" and not value.strip().strip("0.")
