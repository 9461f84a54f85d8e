"""XMP (ISO 16684-1) that says where a picture comes from, in IPTC's words.

IPTC Photo Metadata Standard 2025.1, Digital Source Type; the value is one of IPTC's controlled
vocabulary for it.
"""

import re
from typing import Final

SOURCES: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"
TRAINED_MODEL: Final = SOURCES + "trainedAlgorithmicMedia"
PNG_KEYWORD: Final = "XML:com.adobe.xmp"  # of an iTXt chunk, where Adobe's XMP part 3 wants it

# Since something is read here that anybody wrote: no XML parser, which could be kept busy.
_SOURCE: Final = re.compile(
    r"DigitalSourceType\s{0,9}(?:=|>|\s(?:rdf:)?resource\s{0,9}=)\s{0,99}[\"']?"
    r"([^\"'<>\s]{1,200})"
)
_PACKET: Final = (
    '<?xpacket begin="\N{ZERO WIDTH NO-BREAK SPACE}" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about=""'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    ' xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
    f' Iptc4xmpExt:DigitalSourceType="{TRAINED_MODEL}"'
    ' xmp:CreatorTool="imagine-bot"/>'
    "</rdf:RDF></x:xmpmeta>"
    '<?xpacket end="r"?>'
)


def packet() -> str:
    """What a file holds that a trained model made."""
    return _PACKET


def source_in(xmp: str) -> str | None:
    """The address of the source that a packet names, whoever wrote it; None if it names none."""
    found = _SOURCE.search(xmp)
    return None if found is None else found[1]
