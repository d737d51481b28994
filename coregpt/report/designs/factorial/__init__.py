"""Studies made from techniques: effects of a factorial, and how to read the other modes."""
