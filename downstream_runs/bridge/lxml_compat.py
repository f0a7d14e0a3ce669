"""The three names of `lxml.etree` that s3prl's query-by-example uses, over the standard library."""

from __future__ import annotations

from xml.etree import ElementTree as standard

Element = standard.Element
SubElement = standard.SubElement


class ElementTree(standard.ElementTree):
    """A tree that can write itself one element a line."""

    def write(  # type: ignore[override]
        self, file: str, encoding: str = "UTF-8", pretty_print: bool = False
    ) -> None:
        """Write the document with its XML declaration; `pretty_print` indents it by two spaces a level."""
        if pretty_print:
            standard.indent(self)
        super().write(file, encoding=encoding, xml_declaration=True)
