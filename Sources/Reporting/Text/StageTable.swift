/// The stages of a run as a table for the terminal.
public struct StageTable: Sendable {
  /// The stages; the baseline first.
  public var stages: [StageReport]

  /// A table of `stages`.
  public init(_ stages: [StageReport]) { self.stages = stages }

  /// The text, ending in a line break: one table where it fits `width` characters, else one for each group of figures
  /// (size, quality, speed), and those cut into narrower ones where even that is too wide. Nothing is left out but
  /// columns that no stage has a figure for.
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

  private func split(_ columns: [StageColumn], width: Int) -> [[StageColumn]] {
    guard table(columns).width > width else { return [columns] }
    let groups = [StageColumn.Group.size, .quality, .speed].map { group in
      columns.filter { $0.group == group }
    }
    var parts: [[StageColumn]] = []
    for group in groups where !group.isEmpty {
      // Neighbouring groups share a table while they fit; a group that does not fit alone is cut column by column.
      if let last = parts.last, table(last + group).width <= width {
        parts[parts.count - 1] += group
      } else if table(group).width <= width {
        parts.append(group)
      } else {
        parts += cut(group, width: width)
      }
    }
    return parts
  }

  private func cut(_ columns: [StageColumn], width: Int) -> [[StageColumn]] {
    var parts: [[StageColumn]] = []
    for column in columns {
      if let last = parts.last, table(last + [column]).width <= width {
        parts[parts.count - 1].append(column)
      } else {
        parts.append([column])
      }
    }
    return parts
  }

  private func table(_ columns: [StageColumn]) -> TextTable {
    var table = TextTable(
      heads: ["stage"] + columns.map(\.head), alignments: [.left] + columns.map { _ in .right })
    table.rows = stages.map { stage in
      ["\(stage.index) \(stage.name)"] + columns.map { $0.cell(stage) ?? "–" }
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
    let missing = stages.filter { stage in columns.contains { $0.cell(stage) == nil } }
    notes += missing.map { "– \($0.name): not measured: \(Methodology.missing($0))" }
    return notes.isEmpty ? [] : [""] + notes
  }
}
