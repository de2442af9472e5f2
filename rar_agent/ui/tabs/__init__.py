"""The tabs: how they are laid out, and what happens when. The modules above know no Gradio."""
