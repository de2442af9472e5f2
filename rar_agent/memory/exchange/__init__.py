"""Memories elsewhere: LangChain, data frames, exported folders, the reference code's files."""
