/// Cells in aligned columns, for terminals.
struct TextTable {
  /// How a column's cells are set.
  enum Alignment { case left, right }

  /// The heads.
  var heads: [String]
  /// The alignment of each column.
  var alignments: [Alignment]
  /// The rows, each with one cell for each head.
  var rows: [[String]] = []

  /// The characters that the widest line takes.
  var width: Int { widths.reduce(0, +) + 2 * max(0, heads.count - 1) }

  private var widths: [Int] {
    heads.indices.map { column in rows.reduce(heads[column].count) { max($0, $1[column].count) } }
  }

  /// The table: heads, a rule, rows; two spaces between columns; no spaces at line ends.
  var lines: [String] {
    let widths = widths
    func line(_ cells: [String]) -> String {
      var text = cells.indices.map { column in
        let space = String(repeating: " ", count: widths[column] - cells[column].count)
        return alignments[column] == .left ? cells[column] + space : space + cells[column]
      }.joined(separator: "  ")
      while text.last == " " { text.removeLast() }
      return text
    }
    let rule = widths.map { String(repeating: "─", count: $0) }.joined(separator: "  ")
    return [line(heads), rule] + rows.map(line)
  }
}
