extension JSONValue {
  /// The document as text.
  ///
  /// - Parameters:
  ///   - sortedKeys: whether members are written in the order of their keys' UTF-8 bytes instead of their own order.
  ///   - indent: spaces a level, or nil for one line without spaces.
  public func text(sortedKeys: Bool = true, indent: Int? = nil) -> String {
    var output = ""
    write(to: &output, sortedKeys: sortedKeys, indent: indent, level: 0)
    return output
  }

  private func write(to output: inout String, sortedKeys: Bool, indent: Int?, level: Int) {
    func newLine(_ level: Int) {
      if let indent { output += "\n" + String(repeating: " ", count: indent * level) }
    }
    switch self {
    case .null: output += "null"
    case .bool(let value): output += value ? "true" : "false"
    case .integer(let value): output += String(value)
    case .number(let value): output += value.isFinite ? "\(value)" : "null"
    case .string(let value): JSONValue.quote(value, to: &output)
    case .array(let elements):
      output += "["
      for (place, element) in elements.enumerated() {
        if place > 0 { output += "," }
        newLine(level + 1)
        element.write(to: &output, sortedKeys: sortedKeys, indent: indent, level: level + 1)
      }
      if !elements.isEmpty { newLine(level) }
      output += "]"
    case .object(let object):
      let members =
        sortedKeys
        ? object.members.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) } : object.members
      output += "{"
      for (place, member) in members.enumerated() {
        if place > 0 { output += "," }
        newLine(level + 1)
        JSONValue.quote(member.key, to: &output)
        output += indent == nil ? ":" : ": "
        member.value.write(to: &output, sortedKeys: sortedKeys, indent: indent, level: level + 1)
      }
      if !members.isEmpty { newLine(level) }
      output += "}"
    }
  }

  /// Escapes what must be escaped, with the short forms where JSON has them; everything else stays UTF-8.
  private static func quote(_ text: String, to output: inout String) {
    output += "\""
    if text.utf8.allSatisfy({ $0 >= 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }) {
      output += text
    } else {
      for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": output += "\\\""
        case "\\": output += "\\\\"
        case "\n": output += "\\n"
        case "\r": output += "\\r"
        case "\t": output += "\\t"
        case "\u{8}": output += "\\b"
        case "\u{C}": output += "\\f"
        case _ where scalar.value < 0x20:
          let digits = String(scalar.value, radix: 16)
          output += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: output.unicodeScalars.append(scalar)
        }
      }
    }
    output += "\""
  }
}
