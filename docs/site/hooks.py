"""Hooks of mkdocs: pages that are made from other files, and links to files outside of docs/."""

import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

ROOT = Path(__file__).parents[2]
MERMAID = ROOT / "build/mermaid/package/dist/mermaid.min.js"
SOURCE_URL = os.environ.get("SITE_SOURCE_URL", "").rstrip("/")
"""Address of the source, such as `https://github.com/OWNER/NAME/tree/main`; "" removes links to it."""

_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the changelog, the list of decisions and Mermaid to the site."""
    changelog = (ROOT / "CHANGELOG.md").read_text().replace("](docs/", "](")
    files.append(File.generated(config, "changelog.md", content=changelog))
    files.append(File.generated(config, "decisions/index.md", content=_decisions()))
    files.append(File.generated(config, "assets/mermaid.min.js", abs_src_path=str(MERMAID)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Link files of the repository that are not on the site to their source, or keep only the text."""
    folder = PurePosixPath("docs", page.file.src_uri).parent

    def to_source(link: re.Match[str]) -> str:
        path = os.path.normpath(folder / link["target"])
        if path == "docs/decisions":
            return f"[{link['text']}]({link['target'].rstrip('/')}/index.md)"
        if re.match(r"[a-z]+:", link["target"]) or path.startswith("docs/") or not (ROOT / path).exists():
            return link[0]
        return f"[{link['text']}]({SOURCE_URL}/{path})" if SOURCE_URL else link["text"]

    return _LINK.sub(to_source, markdown)


def on_post_page(output: str, *, page: Page, **_: object) -> str:
    """Load the site's own Mermaid on a page with a diagram; the theme would load it from another host."""
    if 'class="mermaid"' not in output:
        return output
    script = get_relative_url("assets/mermaid.min.js", page.url)
    return output.replace("</head>", f'<script src="{script}"></script></head>', 1)


def _decisions() -> str:
    titles = (
        (file.name, file.read_text().partition("\n")[0].lstrip("# "))
        for file in sorted((ROOT / "docs/decisions").glob("0*.md"))
    )
    links = "\n".join(f"- [{title}]({name})" for name, title in titles)
    return f"# Decisions\n\nChoices that could have been made differently, with the reasons.\n\n{links}\n"
