import ModelFiles
import TensorCore

/// What an encoder is evaluated on: sentences, or pairs of sentences that people scored for similarity.
public struct EncoderText: Sendable {
  /// A pair of sentences, by their places in ``EncoderText/sentences``, and its score.
  public struct Pair: Sendable, Equatable {
    /// The place of the first sentence.
    public var first: Int
    /// The place of the second.
    public var second: Int
    /// How similar people found them; any scale.
    public var score: Double

    /// The sentences at these places, found `score` similar.
    public init(first: Int, second: Int, score: Double) {
      self.first = first
      self.second = second
      self.score = score
    }
  }

  /// The file's name without its folder, for reports.
  public var name: String
  /// SHA-256 of the whole file, in lower-case hexadecimal.
  public var sha256: String
  /// The sentences, each once, in the order of their first appearance.
  public var sentences: [[UInt8]]
  /// The scored pairs; empty for plain text.
  public var pairs: [Pair] = []
  /// Remarks for the report.
  public var notes: [String] = []

  /// The file at `path`: CSV or TSV rows `sentence1, sentence2, score` with or without a header, or plain text.
  ///
  /// - Parameter limit: the number of pairs or sentences after which reading stops; nil for all.
  /// - Throws: ``FileError`` when it cannot be read; ``EvaluationError`` for a broken table or an empty text.
  public init(path: String, limit: Int? = nil) throws {
    let file = try MappedFile(path: path)
    let name = path.split(separator: "/").last.map(String.init) ?? path
    try self.init(name: name, bytes: file.region.array, limit: limit)
  }

  /// The same from `bytes`. What they are is found by content: a table has at least three columns, and a number in the third
  /// of its first row or, below a header of as many columns, anywhere in its second.
  public init(name: String, bytes: [UInt8], limit: Int? = nil) throws {
    guard !bytes.contains(0) else {
      throw EvaluationError(.badText, name, "not a text: byte \(bytes.firstIndex(of: 0) ?? 0) is zero")
    }
    self.name = name
    sha256 = bytes.withUnsafeBytes { FileHash.sha256(of: $0) }
    sentences = []
    if let table = try EncoderText.table(bytes, name: name) {
      try read(table, limit: limit)
    } else {
      read(sentences: EncoderText.sentences(of: bytes), limit: limit)
    }
    guard !sentences.isEmpty else { throw EvaluationError(.tooShort, name, "there is no sentence in it") }
  }

  // MARK: Tables

  private struct Table {
    var rows: ArraySlice<DelimitedText.Row>
    var first = 0
    var second = 1
    var score = 2
    var width: Int { max(first, second, score) + 1 }

    func number(_ row: DelimitedText.Row) -> Double? {
      guard row.fields.count >= width else { return nil }
      let text = String(decoding: row.fields[score], as: UTF8.self).filter { !$0.isWhitespace }
      return Double(text).flatMap { $0.isFinite ? $0 : nil }
    }
  }

  /// The text as a table; nil when it does not look like one.
  private static func table(_ bytes: [UInt8], name: String) throws -> Table? {
    let head = bytes.prefix { $0 != 0x0A }
    for separator in [UInt8(ascii: "\t"), UInt8(ascii: ",")] where head.contains(separator) {
      // Prose has commas too, and may have lone quotes: only what starts as a table has to be a valid one.
      guard looksLikeTable(bytes, separator: separator) else { continue }
      let rows = try DelimitedText(bytes, separator: separator, name: name).rows
      var table = Table(rows: rows[...])
      guard let header = rows.first, table.number(header) == nil else { return table }
      table.rows = rows.dropFirst()
      let names = header.fields.map { String(decoding: $0, as: UTF8.self).lowercased() }
      func column(_ candidates: [String]) -> Int? { names.firstIndex { candidates.contains($0) } }
      if let first = column(["sentence1", "text1", "premise"]), let second = column(["sentence2", "text2"]),
        let score = column(["score", "label", "similarity", "similarity_score"])
      {
        (table.first, table.second, table.score) = (first, second, score)
      }
      return table
    }
    return nil
  }

  private static func looksLikeTable(_ bytes: [UInt8], separator: UInt8) -> Bool {
    // The first two records tell.
    guard let rows = try? DelimitedText(bytes, separator: separator, limit: 2, name: "").rows else {
      return false
    }
    func isNumber(_ field: [UInt8]) -> Bool { Double(String(decoding: field, as: UTF8.self)) != nil }
    guard let first = rows.first, first.fields.count >= 3 else { return false }
    if isNumber(first.fields[2]) { return true }
    return rows.count > 1 && rows[1].fields.count == first.fields.count
      && rows[1].fields.contains(where: isNumber)
  }

  private mutating func read(_ table: Table, limit: Int?) throws {
    var places: [[UInt8]: Int] = [:]
    func place(_ sentence: [UInt8], _ sentences: inout [[UInt8]]) -> Int {
      if let place = places[sentence] { return place }
      places[sentence] = sentences.count
      sentences.append(sentence)
      return sentences.count - 1
    }
    for row in table.rows.prefix(limit ?? .max) {
      guard row.fields.count >= table.width else {
        throw EvaluationError(
          .badText, name,
          "line \(row.line): \(row.fields.count) columns, expected sentence1, sentence2, score")
      }
      guard let score = table.number(row) else {
        throw EvaluationError(.badText, name, "line \(row.line): the score is no number")
      }
      let first = place(row.fields[table.first], &sentences)
      let second = place(row.fields[table.second], &sentences)
      pairs.append(Pair(first: first, second: second, score: score))
    }
    if table.rows.count > pairs.count {
      notes.append("the first \(pairs.count) of \(table.rows.count) pairs were used")
    }
  }

  // MARK: Plain text

  private mutating func read(sentences all: [[UInt8]], limit: Int?) {
    var seen: Set<[UInt8]> = []
    let unique = all.filter { seen.insert($0).inserted }
    sentences = Array(unique.prefix(limit ?? .max))
    if unique.count > sentences.count {
      notes.append("the first \(sentences.count) of \(unique.count) sentences were used")
    }
  }

  /// The sentences of a text: its lines, or, where empty lines part paragraphs, each paragraph cut behind `.`, `!` or `?`.
  package static func sentences(of bytes: [UInt8]) -> [[UInt8]] {
    let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false).map(trim)
    let content = lines.drop { $0.isEmpty }.reversed().drop { $0.isEmpty }
    guard content.contains(where: { $0.isEmpty }) else { return lines.filter { !$0.isEmpty }.map(Array.init) }
    var sentences: [[UInt8]] = []
    for paragraph in lines.split(whereSeparator: { $0.isEmpty }) {
      var sentence: [UInt8] = []
      for word in paragraph.flatMap({ $0.split(separator: 0x20) }) {
        if !sentence.isEmpty { sentence.append(0x20) }
        sentence += word
        if endsSentence(word) {
          sentences.append(sentence)
          sentence = []
        }
      }
      if !sentence.isEmpty { sentences.append(sentence) }
    }
    return sentences
  }

  private static func endsSentence(_ word: ArraySlice<UInt8>) -> Bool {
    let closing: Set<UInt8> = [UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: ")")]
    guard let last = word.last(where: { !closing.contains($0) }) else { return false }
    return last == UInt8(ascii: ".") || last == UInt8(ascii: "!") || last == UInt8(ascii: "?")
  }

  private static func trim(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
    var line = line.drop(while: isSpace)
    while let last = line.last, isSpace(last) { line.removeLast() }
    return line
  }
}
