/// Rows of fields separated by commas or tabs (RFC 4180): a field in double quotes may hold separators, line breaks and
/// doubled quotes.
struct DelimitedText {
  /// One row: its fields as bytes, and the line it starts on.
  struct Row {
    var fields: [[UInt8]]
    var line: Int
  }

  /// The rows; empty lines are left out.
  private(set) var rows: [Row] = []

  /// Reads the first `limit` rows of `bytes`.
  ///
  /// - Throws: ``EvaluationError`` for a quote that is never closed, or text behind a closing quote.
  init(_ bytes: [UInt8], separator: UInt8, limit: Int = .max, name: String) throws {
    var place = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    var line = 1
    while place < bytes.count, rows.count < limit {
      var row = Row(fields: [], line: line)
      var isOpen = true
      while isOpen {
        let field = try DelimitedText.field(bytes, &place, &line, separator: separator, name: name)
        row.fields.append(field)
        isOpen = place < bytes.count && bytes[place] == separator
        if isOpen { place += 1 }
      }
      if place < bytes.count, bytes[place] == UInt8(ascii: "\r") { place += 1 }
      if place < bytes.count, bytes[place] == UInt8(ascii: "\n") { place += 1 }
      line += 1
      if row.fields != [[]] { rows.append(row) }
    }
  }

  /// The field at `place`, which is moved to the separator or line end behind it.
  private static func field(
    _ bytes: [UInt8], _ place: inout Int, _ line: inout Int, separator: UInt8, name: String
  ) throws -> [UInt8] {
    let quote = UInt8(ascii: "\"")
    func isEnd(_ byte: UInt8) -> Bool { byte == separator || byte == 0x0A || byte == 0x0D }
    guard place < bytes.count, bytes[place] == quote else {
      let start = place
      while place < bytes.count, !isEnd(bytes[place]) { place += 1 }
      return Array(bytes[start..<place])
    }
    let start = line
    var field: [UInt8] = []
    place += 1
    while place < bytes.count {
      if bytes[place] == quote {
        place += 1
        guard place < bytes.count, bytes[place] == quote else {
          guard place == bytes.count || isEnd(bytes[place]) else {
            throw EvaluationError(.badText, name, "line \(line): text behind a closing quote")
          }
          return field
        }
      } else if bytes[place] == 0x0A {
        line += 1
      }
      field.append(bytes[place])
      place += 1
    }
    throw EvaluationError(.badText, name, "line \(start): a quoted field does not end")
  }
}
