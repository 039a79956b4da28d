"""The SDK's files and what a page is told about its site."""
