"""Hooks of mkdocs: pages that are made from other files, and links to files outside of docs/."""

import ast
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

ROOT = Path(__file__).parents[2]
KIT = ROOT / "kit/sagakit"
MERMAID = ROOT / "build/mermaid/package/dist/mermaid.min.js"
SOURCE_URL = os.environ.get("SITE_SOURCE_URL", "").rstrip("/")
"""Address of the source, such as `https://github.com/OWNER/NAME/tree/main`; "" removes links to it."""

MADE_FROM = {
    "CHANGELOG.md": "changelog.md",
    "docs/decisions": "decisions/index.md",
    "kit/sagakit/__init__.py": "reference/sagakit.md",
    "kit/sagakit/testing/__init__.py": "reference/testing.md",
    "sagactl/__main__.py": "reference/sagactl.md",
}
"""Pages of the site by the file from which they are made: links to that file lead to the page."""
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
_RUNNING = {
    "sagakit.run": ["main"],
    "sagakit.backends": ["open_backend", "open_provisioner"],
    "sagakit.ctl.project": ["Project", "Gateway"],
}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that are made from other files, and Mermaid."""
    pages = {
        "changelog.md": (ROOT / "CHANGELOG.md").read_text().replace("](docs/", "]("),
        "decisions/index.md": _decisions(),
        "reference/sagakit.md": _reference_of_the_kit(),
        "reference/testing.md": _reference_of("sagakit.testing")
        + _reference_of("sagakit.testing.contracts", 2),
        "reference/sagactl.md": (ROOT / "build/pages/sagactl.md").read_text(),
    }
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    files.append(File.generated(config, "assets/mermaid.min.js", abs_src_path=str(MERMAID)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Link files outside of docs/ to the page made from them, or to their source, or keep only the text."""
    folder = PurePosixPath("docs", page.file.src_uri).parent

    def adapted(link: re.Match[str]) -> str:
        path = os.path.normpath(folder / link["target"])
        if path in MADE_FROM:
            made = os.path.relpath(f"docs/{MADE_FROM[path]}", folder)
            return f"[{link['text']}]({made}{link['anchor'] or ''})"
        if re.match(r"[a-z]+:", link["target"]) or path.startswith("docs/") or not (ROOT / path).exists():
            return link[0]
        return f"[{link['text']}]({SOURCE_URL}/{path})" if SOURCE_URL else link["text"]

    return _LINK.sub(adapted, markdown)


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


def _reference_of_the_kit() -> str:
    """Return a page with all public names, in the order of the table in the package's docstring."""
    tree = ast.parse((KIT / "__init__.py").read_text())
    text = ast.get_docstring(tree) or ""
    imports = [each for each in tree.body if isinstance(each, ast.ImportFrom)]
    module = {alias.name: each.module for each in imports for alias in each.names}
    rows = re.findall(r"^\| (?!to…)([^|]*?) +\| (`[^|]*)\|$", text, re.MULTILINE)
    groups = {title: [n for n in re.findall(r"`(\w+)`", names) if n in module] for title, names in rows}
    groups["do more"] = []
    for name in sorted(set(_public_names(tree)) - {name for names in groups.values() for name in names}):
        # A name that is not in the table stands beside the names of its module.
        beside = (names for names in groups.values() if any(module.get(n) == module.get(name) for n in names))
        next(beside, groups["do more"]).append(name)
    sections = "\n".join(
        f"## To {title}\n\n{_shown('sagakit', names)}" for title, names in groups.items() if names
    )
    running = "\n".join(_shown(package, names) for package, names in _RUNNING.items())
    return f"# sagakit\n\n{text.partition('|')[0]}\n{sections}\n## To run it\n\n{running}"


def _reference_of(package: str, level: int = 1) -> str:
    tree = ast.parse(ROOT.joinpath("kit", *package.split("."), "__init__.py").read_text())
    return f"{'#' * level} {package}\n\n{ast.get_docstring(tree)}\n\n{_shown(package, _public_names(tree))}"


def _shown(package: str, names: Iterable[str]) -> str:
    return "\n".join(f"::: {package}.{name}\n" for name in names)


def _public_names(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            yield from ast.literal_eval(node.value)
