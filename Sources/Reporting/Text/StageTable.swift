/// The stages of a run as a table for the terminal.
public struct StageTable: Sendable {
  /// The stages; the baseline first.
  public var stages: [StageReport]
  /// What the stages are called, where that is not their place and name.
  public var labels: [String]?

  /// A table of `stages`.
  public init(_ stages: [StageReport], labels: [String]? = nil) {
    self.stages = stages
    self.labels = labels
  }

  private func label(_ place: Int) -> String {
    labels.flatMap { $0.indices.contains(place) ? $0[place] : nil }
      ?? "\(stages[place].index) \(stages[place].name)"
  }

  /// The text, ending in a line break: one table where it fits `width` characters, else as few as possible below one
  /// another, cut between size, quality and speed where that takes no more. Nothing is left out but columns that no
  /// stage has a figure for.
  public func text(width: Int = 100) -> String {
    let columns = StageColumn.all.filter { column in stages.contains { column.cell($0) != nil } }
    var lines: [String] = []
    for part in split(columns, width: width) {
      if !lines.isEmpty { lines.append("") }
      lines += table(part).lines
    }
    lines += footnotes(columns)
    return lines.joined(separator: "\n") + "\n"
  }

  /// The columns that a small table takes first.
  private static let foremost = [
    "size", "mean KLD", "cosine mean", "decode tok/s (p95)", "ratio", "perplexity",
  ]

  /// One table of the figures that matter most, as many as fit `width` characters: its lines.
  public func compact(width: Int) -> [String] {
    let known = StageColumn.all.filter { column in stages.contains { column.cell($0) != nil } }
    var taken: [String] = []
    for head in StageTable.foremost where known.contains(where: { $0.head == head }) {
      let more = taken + [head]
      if table(known.filter { more.contains($0.head) }).width <= width { taken = more }
    }
    return table(known.filter { taken.contains($0.head) }).lines
  }

  /// The columns of each table: as few tables as possible, and among those one for each group if that is as few.
  private func split(_ columns: [StageColumn], width: Int) -> [[StageColumn]] {
    let filled = fill(columns.map { [$0] }, width: width)
    let groups = [StageColumn.Group.size, .quality, .speed].map { group in
      columns.filter { $0.group == group }
    }
    let grouped = fill(groups.filter { !$0.isEmpty }, width: width)
    let fits = grouped.allSatisfy { table($0).width <= width }
    return fits && grouped.count <= filled.count ? grouped : filled
  }

  /// Tables that take parts, in order, while they fit.
  private func fill(_ parts: [[StageColumn]], width: Int) -> [[StageColumn]] {
    var tables: [[StageColumn]] = []
    for part in parts {
      if let last = tables.last, table(last + part).width <= width {
        tables[tables.count - 1] += part
      } else {
        tables.append(part)
      }
    }
    return tables
  }

  private func table(_ columns: [StageColumn]) -> TextTable {
    var table = TextTable(
      heads: ["stage"] + columns.map(\.head), alignments: [.left] + columns.map { _ in .right })
    table.rows = stages.indices.map { place in
      [label(place)] + columns.map { $0.cell(stages[place]) ?? "–" }
    }
    return table
  }

  /// What the figures mean, and why a dash is one.
  private func footnotes(_ columns: [StageColumn]) -> [String] {
    var notes: [String] = ["bits/weight: of the packed artifact (of the stored tensors)."]
    if let method = stages.lazy.compactMap({ Methodology.short($0) }).first { notes.append(method) }
    if stages.contains(where: { $0.latency != nil }) {
      notes.append("tok/s: median (rate that 95 % of the samples reach).")
    }
    let missing = stages.indices.filter { place in columns.contains { $0.cell(stages[place]) == nil } }
    notes += missing.map {
      "– \(labels == nil ? stages[$0].name : label($0)): \(Methodology.missing(stages[$0]))."
    }
    return notes.isEmpty ? [] : [""] + notes
  }
}
