"""What single pages make of results: long frames, tables of text and computed sentences, a module a subject."""
