/// A strict reader of the HTML that reports are made of: every element is closed in order, every attribute quoted.
struct HTMLDocument {
  /// An element.
  struct Element {
    var name: String
    var attributes: [String: String]
    /// The text in it, that of inner elements too.
    var text: String
    /// The names of the elements around it, the outermost first.
    var parents: [String]
  }

  /// What is wrong; empty for a well-formed document.
  private(set) var faults: [String] = []
  /// The elements, in the order in which they end.
  private(set) var elements: [Element] = []

  private static let empty: Set<String> = ["meta", "br", "hr", "link"]

  init(_ text: String) {
    var open: [Element] = []
    var rest = Substring(text)
    func unescape(_ text: Substring) -> String {
      var result = String(text)
      for (name, sign) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")] {
        result = result.replacing(name, with: sign)
      }
      return result
    }
    func add(_ text: Substring) {
      if text.contains(">") { faults.append("a bare '>' in '\(text.prefix(40))'") }
      for place in open.indices { open[place].text += unescape(text) }
    }
    if !rest.hasPrefix("<!doctype html>\n") { faults.append("no doctype") }
    rest = rest.dropFirst(16)
    while let start = rest.firstIndex(of: "<") {
      add(rest[..<start])
      guard let end = rest[start...].firstIndex(of: ">") else {
        faults.append("a tag that does not end")
        return
      }
      let tag = rest[rest.index(after: start)..<end]
      rest = rest[rest.index(after: end)...]
      if tag.hasPrefix("/") {
        guard let last = open.popLast(), last.name == tag.dropFirst() else {
          faults.append("</\(tag.dropFirst())> ends nothing")
          continue
        }
        elements.append(last)
        continue
      }
      let isClosed = tag.hasSuffix("/")
      let body = isClosed ? tag.dropLast() : tag
      let name = String(body.prefix { $0 != " " && $0 != "\n" })
      let attributes = HTMLDocument.attributes(body.dropFirst(name.count), &faults)
      let element = Element(
        name: name, attributes: attributes.mapValues { unescape(Substring($0)) }, text: "",
        parents: open.map(\.name))
      if isClosed || HTMLDocument.empty.contains(name) {
        elements.append(element)
      } else if name == "style" {
        guard let close = rest.firstRange(of: "</style>") else {
          faults.append("a style that does not end")
          return
        }
        rest = rest[close.upperBound...]
      } else {
        open.append(element)
      }
    }
    if !open.isEmpty { faults.append("open at the end: \(open.map(\.name))") }
  }

  private static func attributes(_ text: Substring, _ faults: inout [String]) -> [String: String] {
    var result: [String: String] = [:]
    var rest = text.drop { $0 == " " || $0 == "\n" }
    while !rest.isEmpty {
      let name = String(rest.prefix { $0 != "=" && $0 != " " })
      rest = rest.dropFirst(name.count)
      if rest.hasPrefix("=\"") {
        rest = rest.dropFirst(2)
        let value = rest.prefix { $0 != "\"" }
        if result.updateValue(String(value), forKey: name) != nil { faults.append("\(name) twice") }
        if value.endIndex == rest.endIndex { faults.append("\(name) is not closed") }
        rest = rest.dropFirst(value.count + 1)
      } else if rest.hasPrefix("=") {
        faults.append("\(name) is not quoted")
        return result
      } else {
        result[name] = ""
      }
      rest = rest.drop { $0 == " " || $0 == "\n" }
    }
    return result
  }
}
