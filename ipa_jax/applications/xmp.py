"""The rating in an XMP document, read and set without touching any other byte.

XMP is RDF in XML. The rating is an attribute or an element `Rating` of the namespace NAMESPACE: 1 to 5 stars, 0 for
unrated, -1 for a reject. A document comes from a stranger: entity declarations are refused before it is parsed.
"""

import re
from dataclasses import dataclass, field
from xml.parsers import expat

NAMESPACE = "http://ns.adobe.com/xap/1.0/"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
LARGEST = 16 << 20  # bytes of a sidecar
REJECT = -1

_ATTRIBUTE = re.compile(rb"""([^\s=/>]+)\s*=\s*("[^"]*"|'[^']*')""")
_TAG = re.compile(rb"""(?:[^>"']|"[^"]*"|'[^']*')*>""")
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_NEW = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="{rdf}">
  <rdf:Description rdf:about="" xmlns:xmp="{namespace}" xmp:Rating="{rating}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""


class XmpError(ValueError):
    """A document cannot be read as XMP; the message says why."""


@dataclass
class _Found:
    """Where things are in the document, as (begin, end) in bytes."""

    description: tuple[int, int] | None = None  # the start tag of the first rdf:Description of rdf:RDF
    values: list[tuple[int, int]] = field(default_factory=list)  # each rating, without quotes or tags
    empty: dict[int, bytes] = field(default_factory=dict)  # where an empty element begins -> its name


def new(rating: int) -> bytes:
    """A whole XMP document that holds only a rating."""
    return _NEW.format(rdf=RDF, namespace=NAMESPACE, rating=rating).encode()


def rating(document: bytes) -> int | None:
    """The first rating that the document holds; None without one, or one that is no number.

    Raises:
      XmpError: as `with_rating`.
    """
    text = _decoded(document)[0]
    for begin, end in _find(text).values:
        value = text[begin:end].strip()
        if re.fullmatch(rb"[+-]?\d{1,3}(\.\d*)?", value):
            return int(float(value))
    return None


def with_rating(document: bytes, stars: int) -> bytes:
    """The document with another rating: every rating that it has, or else a new attribute of its first description.

    Raises:
      XmpError: the document is too large, declares entities, is not well-formed XML, or holds no rdf:Description.
    """
    text, mark, encoding = _decoded(document)
    found = _find(text)
    value = str(stars).encode()
    edits = [(begin, end, value) for begin, end in found.values if begin not in found.empty]
    for begin, end in found.values:
        if begin in found.empty:
            name = found.empty[begin]
            edits.append((begin, end, b"<" + name + b">" + value + b"</" + name + b">"))
    if not edits:
        if found.description is None:
            raise XmpError("it holds no rdf:Description to write a rating into")
        begin, end = found.description
        edits.append(_attribute(text, begin, end, value))
    for begin, end, replacement in sorted(edits, reverse=True):
        text = text[:begin] + replacement + text[end:]
    return mark + (text if encoding == "utf-8" else text.decode().encode(encoding))


def _attribute(text: bytes, begin: int, end: int, value: bytes) -> tuple[int, int, bytes]:
    """The edit that adds a rating to a start tag, with its namespace where the tag does not declare it."""
    name_end = begin + len(re.split(rb"[\s/>]", text[begin:end])[0])
    declared = {
        name.removeprefix(b"xmlns:"): uri[1:-1]
        for name, uri in _ATTRIBUTE.findall(text[begin:end])
        if name.startswith(b"xmlns:")
    }
    prefix = next((name for name, uri in declared.items() if uri == NAMESPACE.encode()), None)
    space = b""
    if prefix is None:
        # A name that the document has for nothing else.
        prefix = next(p for p in (b"xmp", b"xap", *(b"xmp%d" % n for n in range(len(text)))) if _unused(text, p))
        space = b' xmlns:%s="%s"' % (prefix, NAMESPACE.encode())
    return name_end, name_end, space + b' %s:Rating="%s"' % (prefix, value)


def _unused(text: bytes, prefix: bytes) -> bool:
    uris = re.findall(rb"xmlns:" + prefix + rb"""\s*=\s*["']([^"']*)["']""", text)
    return all(uri == NAMESPACE.encode() for uri in uris)


def _decoded(document: bytes) -> tuple[bytes, bytes, str]:
    """(the document in UTF-8, its byte order mark, its encoding). Checks what must be checked before parsing."""
    if len(document) > LARGEST:
        raise XmpError(f"it has {len(document)} bytes, more than {LARGEST}")
    mark, encoding = next(((m, e) for m, e in _BOMS if document.startswith(m)), (b"", "utf-8"))
    try:
        text = document[len(mark) :].decode(encoding).encode()
    except UnicodeDecodeError as error:
        raise XmpError(f"it is not {encoding.upper()} text ({error.reason})") from error
    if re.search(rb"<!\s*(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise XmpError("it declares a document type or entities, which XMP does not need")
    return text, mark, encoding


def _find(text: bytes) -> _Found:
    """Where the ratings and the first description are."""
    parser = expat.ParserCreate("utf-8", namespace_separator=" ")
    parser.namespace_prefixes = True  # names come as "namespace name prefix"
    found, open_tags = _Found(), []

    def start(name: str, attributes: dict[str, str]) -> None:
        begin = parser.CurrentByteIndex
        end = _tag_end(text, begin)
        outer = open_tags[-1][0] if open_tags else ""
        open_tags.append((" ".join(name.split(" ")[:2]), begin, end))
        if open_tags[-1][0] != f"{RDF} Description" or outer != f"{RDF} RDF":
            return
        if found.description is None:
            found.description = (begin, end)
        prefixes = [parts[2] for key in attributes if (parts := key.split(" "))[:2] == [NAMESPACE, "Rating"]]
        for match in _ATTRIBUTE.finditer(text, begin, end):
            if match.group(1).decode() in {f"{prefix}:Rating" for prefix in prefixes}:
                found.values.append((match.start(2) + 1, match.end(2) - 1))

    def finish(_: str) -> None:
        name, begin, end = open_tags.pop()
        if name != f"{NAMESPACE} Rating" or [tag[0] for tag in open_tags[-2:]] != [f"{RDF} RDF", f"{RDF} Description"]:
            return
        if text[end - 2 : end] == b"/>":
            found.values.append((begin, end))
            found.empty[begin] = re.split(rb"[\s/>]", text[begin + 1 : end])[0]
        elif b"<" not in text[end : parser.CurrentByteIndex]:
            found.values.append((end, parser.CurrentByteIndex))

    parser.StartElementHandler, parser.EndElementHandler = start, finish
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise XmpError(f"it is not well-formed XML ({error})") from error
    return found


def _tag_end(text: bytes, begin: int) -> int:
    """The position after the > of the tag that begins at `begin`; a > inside quotes does not end it."""
    tag = _TAG.match(text, begin)
    assert tag is not None  # expat has read it
    return tag.end()
