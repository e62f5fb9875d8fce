import Evaluation

extension MarkdownReport {
  /// What can be said about pairs of stages; ties are not ranked.
  static func verdictSection(_ comparisons: [StageComparison], _ names: [String], _ page: inout Page) {
    guard !comparisons.isEmpty else { return }
    func name(_ place: Int) -> String { escape(names.indices.contains(place) ? names[place] : "\(place)") }
    page.heading(2, "Which is better?")
    page.table(
      ["", "on the same tokens, with 95 % intervals", "right → wrong / wrong → right"],
      rows: comparisons.map { comparison in
        [
          "\(name(comparison.second)) against \(name(comparison.first))",
          escape(RunComparison.words(comparison.tokens)),
          "\(NumberFormat.grouped(comparison.tokens.flips.lost)) / \(NumberFormat.grouped(comparison.tokens.flips.gained))",
        ]
      }, right: [2])
    let blocks = comparisons[0].tokens.loss.blocks
    page.paragraph(
      "Differences are paired, intervals by Student's t over \(blocks) block\(blocks == 1 ? "" : "s") of text; Holm's correction "
        + "over \(comparisons.count) pair\(comparisons.count == 1 ? "" : "s"). "
        + (blocks > 1
          ? "A tie means that this sample tells no difference." : "One block says nothing about chance."))
  }
}
