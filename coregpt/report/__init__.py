"""From run folders to verdicts and pages, by floors: facts; drawing; reading, verdicts; designs; analysis, pages."""
