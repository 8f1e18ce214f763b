"""The companion: what the book needs beside the library. Nothing in eecore imports it."""
