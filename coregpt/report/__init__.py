"""From runs to verdicts, and from verdicts to pages: HTML, Markdown, JSON and charts."""
