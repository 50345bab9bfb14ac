"""From a run to what a panel shows: pure reading, no gradio."""
