import ModelFiles

/// HTML as text: whatever comes from a file is escaped on its way in.
enum Markup {
  /// `text` as it may stand between tags and in quoted attributes; control characters that no document may hold are replaced.
  static func escape(_ text: String) -> String {
    var result = ""
    result.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      case "\n", "\t": result.unicodeScalars.append(scalar)
      case _ where isForbidden(scalar): result += "\u{FFFD}"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// Control characters, and marks that change the direction of what follows them.
  private static func isForbidden(_ scalar: Unicode.Scalar) -> Bool {
    scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || (0x202A...0x202E).contains(scalar.value)
      || (0x2066...0x2069).contains(scalar.value) || scalar.value & 0xFFFE == 0xFFFE
  }

  /// A table; cells are markup already. Columns of `right` are set to the right.
  static func table(heads: [String], rows: [[String]], right: Set<Int> = [], isWide: Bool = true) -> String {
    func cell(_ tag: String, _ place: Int, _ content: String) -> String {
      let name = place == 0 && tag == "td" ? "th scope=\"row\"" : tag == "th" ? "th scope=\"col\"" : tag
      let end = place == 0 && tag == "td" ? "th" : tag
      // On narrow screens a row becomes a list, and each cell bears its column's name.
      let head = tag == "td" && place > 0 && heads.indices.contains(place) ? heads[place] : ""
      let label = head.isEmpty ? "" : " data-label=\"\(head)\""
      return "<\(name)\(right.contains(place) ? " class=\"n\"" : "")\(label)>\(content)</\(end)>"
    }
    func row(_ tag: String, _ cells: [String]) -> String {
      "<tr>" + cells.enumerated().map { cell(tag, $0, $1) }.joined() + "</tr>\n"
    }
    let head = heads.isEmpty ? "" : "<thead>\(row("th", heads))</thead>\n"
    let body = rows.map { row("td", $0) }.joined()
    return
      "<div class=\"scroll\"><table class=\"\(isWide ? "wide" : "narrow")\">\n\(head)<tbody>\n\(body)</tbody></table></div>\n"
  }

  /// A part of the page under a heading that can be linked to.
  static func section(_ title: String, id: String, _ content: String) -> String {
    content.isEmpty ? "" : "<section id=\"\(id)\"><h2>\(escape(title))</h2>\n\(content)</section>\n"
  }

  /// Content that is shown when asked for.
  static func details(_ summary: String, open: Bool = false, _ content: String) -> String {
    "<details\(open ? " open" : "")><summary>\(summary)</summary>\n\(content)</details>\n"
  }

  /// A picture with what it shows below it.
  static func figure(_ picture: String, caption: String) -> String {
    picture.isEmpty ? "" : "<figure>\(picture)<figcaption>\(caption)</figcaption></figure>\n"
  }

  static func paragraph(_ content: String) -> String { "<p>\(content)</p>\n" }
}

/// Numbers that say where in `report.json` they are, so that a script (or a test) can check the page against it.
enum Cited {
  /// `text` for the number at `path`.
  static func number(_ path: String, _ value: Double, _ text: String) -> String {
    "<data data-path=\"\(Markup.escape(path))\" value=\"\(plain(value))\">\(Markup.escape(text))</data>"
  }

  static func number(_ path: String, _ value: Int, _ text: String) -> String {
    "<data data-path=\"\(Markup.escape(path))\" value=\"\(value)\">\(Markup.escape(text))</data>"
  }

  /// The number as `report.json` has it.
  static func plain(_ value: Double) -> String { JSONValue.rounded(value).text() }
}
