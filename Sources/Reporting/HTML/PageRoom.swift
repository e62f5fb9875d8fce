/// What a page has room for: it stays below a megabyte however many stages and tensors there are. The last stage comes first; what is
/// left out is in report.json.
struct PageRoom {
  /// The stages that are shown.
  var stages: Int

  /// How many of `most` each of the other stages gets, where `all` fit the page.
  private func part(_ most: Int, of all: Int, atLeast least: Int) -> Int {
    stages * most <= all ? most : max(least, all / max(1, stages))
  }

  /// The passages of a stage.
  func passages(isLast: Bool) -> Int { isLast ? 10 : part(10, of: 40, atLeast: 2) }
  /// The tensors of a stage whose weights and codes are drawn.
  func distributions(isLast: Bool) -> Int { isLast ? 4 : part(4, of: 16, atLeast: 1) }
  /// The rows of a stage's table of tensors.
  var tensors: Int { part(400, of: 330, atLeast: 10) }
  /// The cells of all heat maps.
  static let cells = 1600
}
