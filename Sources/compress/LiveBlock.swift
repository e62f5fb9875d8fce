internal import Reporting

/// The lines at the bottom of a terminal that are drawn again in place: the stages so far as a table, and what is being done.
struct LiveBlock {
  /// The stages that are done.
  var stages: [StageReport] = []
  /// What is being done just now; empty for nothing.
  var activity = ""
  /// The lines that are on the screen.
  private var drawn = 0

  /// What takes the block off the screen; the cursor is then where it began.
  mutating func erasure() -> String {
    guard drawn > 0 else { return "" }
    let up = drawn > 1 ? "\u{1B}[\(drawn - 1)A" : ""
    drawn = 0
    return "\r\(up)\u{1B}[J"
  }

  /// What draws the block on a screen of this size, in place of the one that is there. No line is as wide as the screen, which would
  /// break it, and a table that is too high is left out.
  mutating func drawing(width: Int, height: Int, colours: Bool) -> String {
    let erasure = erasure()
    var lines: [String] = []
    if !stages.isEmpty {
      let table = StageTable(stages).compact(width: width - 3).map { "  " + $0 }
      if table.count + 2 <= height { lines = table }
    }
    lines = lines.map { LiveBlock.cut($0, width: width) }
    if !activity.isEmpty {
      let line = LiveBlock.cut(activity, width: width)
      lines.append(colours ? Terminal.coloured(line, .cyan) : line)
    }
    drawn = lines.count
    return erasure + lines.joined(separator: "\n")
  }

  /// `line` in fewer than `width` columns.
  private static func cut(_ line: String, width: Int) -> String {
    let most = max(1, width - 1)
    return line.count <= most ? line : String(line.prefix(max(0, most - 1))) + "…"
  }
}
