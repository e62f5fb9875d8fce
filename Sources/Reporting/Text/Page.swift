/// A Markdown page under construction: blocks parted by empty lines.
struct Page {
  private var blocks: [String] = []

  /// The page, ending in a line break.
  var text: String { blocks.joined(separator: "\n\n") + "\n" }

  mutating func heading(_ level: Int, _ text: String) {
    blocks.append(String(repeating: "#", count: level) + " " + MarkdownReport.escape(text))
  }

  mutating func paragraph(_ text: String) { blocks.append(text) }

  mutating func list(_ items: [String]) { blocks.append(items.map { "- " + $0 }.joined(separator: "\n")) }

  mutating func codeBlock(_ text: String) {
    // A fence longer than any run of backticks inside.
    var fence = "```"
    while text.contains(fence) { fence += "`" }
    blocks.append("\(fence)sh\n\(text)\n\(fence)")
  }

  /// A table; the columns in `right` are right-aligned.
  mutating func table(_ heads: [String], rows: [[String]], right: Set<Int>) {
    func line(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |" }
    let rule = heads.indices.map { right.contains($0) ? "--:" : "---" }
    blocks.append(([line(heads), line(rule)] + rows.map(line)).joined(separator: "\n"))
  }
}
