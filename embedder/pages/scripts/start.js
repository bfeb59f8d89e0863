// The page begins where its address says.
drawOverview();
drawFinding();
regroup(Number(threshold.value));
arrive();
