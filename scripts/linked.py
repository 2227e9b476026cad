"""What the psstat binary contains besides psstat itself:

- the crates that are linked into it;
- the Rust standard library, with the crates that it contains;
- the C library and GCC's support library, because the binary is static.

scripts/third-party-notices prints their licence notices, and scripts/sbom a list of them. Needs Python 3
and a Debian system: what is said of the C library is from Debian's packages.
"""

from __future__ import annotations

import html
import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

# The licences that crates in the binary may have: the list `allow` of deny.toml.
EXPECTED = set(re.findall(
    r'"(.*)"', re.search(r"(?m)^allow = \[(.*?)^\]", (REPOSITORY / "deny.toml").read_text(), re.DOTALL)[1]
))

# The crates of the standard library that belong to Rust itself.
PARTS_OF_RUST = {
    "alloc",
    "compiler_builtins",
    "core",
    "panic_abort",
    "panic_unwind",
    "proc_macro",
    "profiler_builtins",
    "rustc_std_workspace_alloc",
    "rustc_std_workspace_core",
    "rustc_std_workspace_std",
    "std",
    "std_detect",
    "sysroot",
    "test",
    "unwind",
}

# How the names of licence files begin.
LICENCE_FILES = re.compile(r"(?i)(licen[cs]e|copying|copyright|notice|unlicense)")


class Problem(Exception):
    """Why it cannot be said what is linked."""


@dataclass
class Texts:
    """Licence texts. Each is printed once, with the names of all that it belongs to."""

    owners: dict[str, list[str]] = field(default_factory=dict)

    def add(self, owner: str, text: str) -> None:
        lines = [line.rstrip() for line in text.replace("\f", "").splitlines()]
        owners = self.owners.setdefault("\n".join(lines).strip("\n"), [])
        if owner not in owners:
            owners.append(owner)


@dataclass(frozen=True)
class Component:
    """Something that is linked into the binary."""

    name: str
    # Empty if it is not known.
    version: str
    # As its source says it.
    licence: str
    # Where it comes from, as a package URL (purl). Empty if there is none.
    url: str = ""
    # SHA-256 of its source, if Cargo.lock has it.
    checksum: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


def output_of(*command: str | Path) -> str:
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def check_licence(what: str, expression: str) -> None:
    for licence in re.split(r" OR | AND |/", expression.replace("(", "").replace(")", "")):
        if licence.strip() not in EXPECTED:
            raise Problem(f"{what} has the licence {expression}, which is not expected")


def version() -> str:
    """The version of psstat."""
    metadata = output_of("cargo", "metadata", "--locked", "--no-deps", "--format-version", "1")
    return json.loads(metadata)["packages"][0]["version"]


def checksums() -> dict[tuple[str, str], str]:
    """The checksum of each crate in Cargo.lock, by name and version."""
    lock = (REPOSITORY / "Cargo.lock").read_text()
    entry = re.compile(r'name = "(.*)"\nversion = "(.*)"\nsource = ".*"\nchecksum = "(.*)"')
    return {(name, version): checksum for name, version, checksum in entry.findall(lock)}


def crates(texts: Texts) -> list[Component]:
    """The crates that are linked into psstat. Adds their licence texts."""
    # The tree with the features that psstat is built with. Procedural macros and the dependencies of
    # build scripts run during the build; nothing of them is in the binary.
    tree = output_of(
        "cargo", "tree", "--locked", "--package", "psstat", "--edges", "normal,no-proc-macro",
        "--prefix", "none", "--format", "{p}",
    )
    linked = {tuple(line.split()[:2]) for line in tree.splitlines()}
    target = output_of("rustc", "--print", "host-tuple")
    metadata = json.loads(output_of(
        "cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target
    ))
    ours = set(metadata["workspace_members"])
    known = checksums()
    components = []
    for package in sorted(metadata["packages"], key=lambda p: (p["name"], p["version"])):
        crate = (package["name"], f"v{package['version']}")
        if crate not in linked:
            continue
        linked.remove(crate)
        if package["id"] in ours:
            continue
        name, version = package["name"], package["version"]
        component = Component(
            name, version, package["license"] or "", f"pkg:cargo/{name}@{version}",
            known.get((name, version), ""),
        )
        name = str(component)
        if not package["license"]:
            raise Problem(f"{name} does not name its licence")
        check_licence(name, package["license"])
        folder = Path(package["manifest_path"]).parent
        files = sorted(file for file in folder.iterdir() if LICENCE_FILES.match(file.name))
        files = [file for file in files if file.is_file()]
        if not files:
            raise Problem(f"{name} has no licence file")
        for file in files:
            texts.add(name, file.read_text())
        components.append(component)
    if linked:
        raise Problem(f"cargo metadata does not know {sorted(linked)}")
    return components


def standard_library(texts: Texts) -> tuple[list[str], list[Component]]:
    """What the toolchain says of its standard library itself, and the crates that this contains. Adds
    their licence texts."""
    root = Path(output_of("rustc", "--print", "sysroot"))
    documents = root / "share/doc/rust"
    page = documents / "COPYRIGHT-library.html"
    if not page.exists():
        raise Problem(f"the Rust toolchain does not have {page.relative_to(root)}")
    in_tree, others = page.read_text().split('id="out-of-tree-dependencies">')[:2]
    in_tree = in_tree.split('id="in-tree-files">')[1]
    release = output_of("rustc", "--version").split()[1]
    library = f"Rust standard library {release}"
    lines = []
    licences = set()
    for block in in_tree.split("<b>File/Directory:</b>")[1:]:
        paths = ", ".join(re.findall(r"<code>(.*?)</code>", block.split("</p>")[0]))
        licence = html.unescape(re.search(r"<b>License:</b> (.*?)</p>", block)[1])
        owners = re.findall(r"<b>Copyright:</b> (.*?)</p>", block)
        # The toolchain names the root folder of its sources ".".
        paths = "all files, if not listed below" if paths == "." else paths
        lines.append(f"{paths}: {licence}")
        lines += [f"  Copyright {html.unescape(owner)}" for owner in owners]
        licences.update(re.split(r" OR | AND | WITH ", re.sub(r"[()]", "", licence)))
    for licence in sorted(licences):
        texts.add(library, (documents / "licenses" / f"{licence}.txt").read_text())
    # The crates that the library for this target contains lie beside it. The page of the library
    # leaves some of them out; the page of the whole toolchain has them, in several versions. The
    # licence of the last one is taken.
    target = output_of("rustc", "--print", "host-tuple")
    libraries = root / "lib/rustlib" / target / "lib"
    contained = {file.name[3:].rsplit("-", 1)[0] for file in libraries.glob("lib*.rlib")}
    if "std" not in contained:
        raise Problem(f"the Rust toolchain has no standard library for {target}")
    of_toolchain = (documents / "COPYRIGHT.html").read_text()
    of_toolchain = of_toolchain.split('id="out-of-tree-dependencies">')[1]
    known = {key: (name, "", block) for key, name, _, block in blocks(of_toolchain)}
    known |= {key: (name, version, block) for key, name, version, block in blocks(others)}
    components = []
    for crate in sorted(contained - PARTS_OF_RUST):
        if crate not in known:
            raise Problem(f"the Rust toolchain has no notices of {crate}")
        name, version, block = known[crate]
        licence = html.unescape(re.search(r"<b>License:</b> (.*?)</p>", block)[1])
        url = f"pkg:cargo/{name}" + (f"@{version}" if version else "")
        component = Component(name, version, licence, url)
        name = str(component)
        check_licence(name, licence)
        notices = re.findall(r"<pre>\n?(.*?)</pre>", block, re.DOTALL)
        if not notices:
            raise Problem(f"{name}, in the standard library, has no licence text")
        for text in notices:
            texts.add(name, html.unescape(text))
        components.append(component)
    texts.add("libgcc", (documents / "licenses" / "GCC-exception-3.1.txt").read_text())
    return lines, components


def blocks(page: str) -> list[tuple[str, str, str, str]]:
    """Each crate on a page of the toolchain: its name in Rust, its name, version and notices."""
    found = []
    for block in page.split("<h3>")[1:]:
        name, version = re.match(r"\W*([\w-]+?)-(\d[^<]*)</h3>", block).groups()
        found.append((name.replace("-", "_"), name, version, block))
    return found


def debian_package_of(library: str) -> tuple[str, str]:
    """The Debian package that a library for the linker comes from, and its source with version."""
    path = output_of("cc", f"-print-file-name={library}")
    # Debian's database may name the file by another path to the same folder.
    for name in (str(Path(path).resolve()), path, f"/usr{path}"):
        done = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True)
        if done.returncode == 0:
            package = done.stdout.rsplit(": ", 1)[0]
            source = output_of(
                "dpkg-query", "-W", "-f", "${source:Package} ${source:Version}", package
            )
            return package.partition(":")[0], source
    raise Problem(f"no Debian package has {library}")


def registries() -> set[str]:
    """The names of the registries in Cargo.lock. What is printed must not contain their addresses."""
    lock = (REPOSITORY / "Cargo.lock").read_text()
    return set(re.findall(r'source = "registry\+.*/([^/"]+?)(?:-index)?/?"', lock))


def check_addresses(text: str) -> None:
    """Ends with an error if a text names this machine's folders or a registry."""
    for unwanted in {*registries(), str(REPOSITORY), str(Path.home())} - {"/"}:
        if unwanted in text:
            raise Problem(f"the text contains {unwanted}")
