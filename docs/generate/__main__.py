"""`python -m docs.generate`: write every generated block of every page; `make docs` calls it."""

from __future__ import annotations

from docs.generate.blocks import ROOT, pages, with_fresh_blocks


def main() -> None:
    """Write the pages that are stale, and name them."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        fresh = with_fresh_blocks(text)
        if fresh != text:
            page.write_text(fresh, encoding="utf-8")
            print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
