"""`rar-agent ui`: a page to look at, with Gradio (extra `ui`). Only the command imports it."""
