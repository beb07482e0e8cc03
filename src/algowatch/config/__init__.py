"""Reading YAML files that people write: strictly, with the line of every fault."""

from algowatch.config.read import Document, Duration, Section, read_document, read_file, read_text

__all__ = ["Document", "Duration", "Section", "read_document", "read_file", "read_text"]
