"""`masquerade cache`: where decoded images are kept, how much they take, how to remove them."""

from masquerade.cli import show
from masquerade.cli.words import most, sorted_out
from masquerade.data import cache


def run(words: list[str], as_json: bool) -> None:
    """Show the cache, or clear it."""
    targets = sorted_out(words).targets
    usage = "masquerade cache, or masquerade cache clear"
    most(targets, 1, usage)
    if targets and targets != ["clear"]:
        raise ValueError(f"{targets[0]!r} is nothing a cache can do: {usage}")
    if targets:
        freed = cache.clear()
        if as_json:
            show.as_json({"folder": str(cache.where()), "freed_bytes": freed})
        else:
            show.result(f"{cache.gigabytes(freed)} freed under {cache.where()}")
        return
    entries = cache.entries()
    total = sum(entry.size for entry in entries)
    if as_json:
        rows = [{"name": e.name, "folder": str(e.folder), "bytes": e.size} for e in entries]
        show.as_json({"folder": str(cache.where()), "bytes": total, "entries": rows})
        return
    show.lines(("", ""), [[entry.name, f"{entry.size / 1e6:,.1f} MB"] for entry in entries])
    show.result(f"{cache.gigabytes(total)} in {len(entries)} sets under {cache.where()}")
    if entries:
        show.following("masquerade cache clear")
