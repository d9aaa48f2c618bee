"""The page of many runs: their scores and ranks; `page` first, then `figures`."""
