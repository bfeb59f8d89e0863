// What there is to see at a glance: regions, near-duplicates, outliers.
function drawOverview() {
  const held = data.groups.reduce((sum, [images]) => sum + images.length, 0);
  const ways = byId("ways"), way = (text, panel) => ways.append(button(text, () => visit(panel)));
  way(held ? `${counted(held, "near-duplicate")} in ${counted(data.groups.length, "group")}` : "No near-duplicates", "groups");
  way(counted(data.outliers[0].length, "outlier"), "outliers");
  const failed = byId("failures").dataset.count;
  if (failed !== undefined) way(counted(Number(failed), "failure"), "failures");
  const without = Object.keys(missing).length;
  if (without) ways.append(element("p", `${counted(without, "image")} without a picture here`, "faint"));
  regions.forEach((region, number) => {
    const made = marking(button("", () => showRegion(number), "region"), region.images), said = element("span");
    said.append(named(regionName(number)), element("span", counted(region.images.length, "image"), "faint"));
    if (region.word) {
      const { score, next_text: other, next_score: less } = region.word;
      said.append(element("span", `cosine ${score.toFixed(4)}, then ${other} ${less.toFixed(4)}`, "faint"));
    }
    made.append(picture(region.representative), said);
    byId("region-list").append(made);
  });
  byId("outliers").append(thumbs(data.outliers[0], data.outliers[1].map(shown)));
}
