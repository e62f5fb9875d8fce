import ModelFiles
import TensorCore

/// Texts, or pairs of texts, each with the label of its class: CSV or TSV.
public struct LabelledText: Sendable, Equatable {
  /// A text with its label.
  public struct Row: Sendable, Equatable {
    /// The text, or the first of a pair.
    public var first: [UInt8]
    /// The second of a pair; nil for single texts.
    public var second: [UInt8]?
    /// The place of its class.
    public var label: Int

    /// A row of these parts.
    public init(first: [UInt8], second: [UInt8]?, label: Int) {
      self.first = first
      self.second = second
      self.label = label
    }
  }

  /// The file's name without its folder.
  public var name: String
  /// Its SHA-256.
  public var sha256: String
  /// The labels: numbers ascending, words in the order of their bytes. Of two, the second is the positive one.
  public var classes: [String]
  /// The texts.
  public var rows: [Row]

  /// Whether there are two texts to a label.
  public var isPairs: Bool { rows.first?.second != nil }

  /// The most labels.
  private static let classLimit = 100

  /// Whether a file of this name is a table.
  public static func isTable(_ path: String) -> Bool {
    let name = path.lowercased()
    return name.hasSuffix(".csv") || name.hasSuffix(".tsv")
  }

  /// The table at `path`.
  ///
  /// - Throws: ``FileError`` when it cannot be read; ``EvaluationError`` when it is no table of texts with labels.
  public init(path: String) throws {
    let file = try MappedFile(path: path)
    try self.init(name: path.split(separator: "/").last.map(String.init) ?? path, bytes: file.region.array)
  }

  /// The same from `bytes`: with a header that names columns, or text, label; first, second, label.
  public init(name: String, bytes: [UInt8]) throws {
    self.name = name
    sha256 = bytes.withUnsafeBytes { FileHash.sha256(of: $0) }
    let tab = UInt8(ascii: "\t")
    let separator = bytes.prefix { $0 != 0x0A }.contains(tab) ? tab : UInt8(ascii: ",")
    var table = try DelimitedText(bytes, separator: separator, name: name).rows[...]
    guard let head = table.first else { throw EvaluationError(.tooShort, name, "there is no row in it") }
    let columns = try Columns(head, name: name)
    if columns.isNamed { table = table.dropFirst() }
    var texts: [(first: [UInt8], second: [UInt8]?, label: String)] = []
    for row in table {
      guard row.fields.count > columns.last else {
        throw EvaluationError(
          .badText, name, "line \(row.line): \(row.fields.count) columns, expected \(columns.last + 1)")
      }
      let label = LabelledText.trim(row.fields[columns.label])
      guard !label.isEmpty else {
        throw EvaluationError(.badText, name, "line \(row.line): the label is empty")
      }
      texts.append((row.fields[columns.first], columns.second.map { row.fields[$0] }, label))
    }
    guard !texts.isEmpty else { throw EvaluationError(.tooShort, name, "there is no row in it") }
    classes = try LabelledText.classes(texts.map(\.label), name: name)
    let places = Dictionary(uniqueKeysWithValues: classes.enumerated().map { ($1, $0) })
    rows = texts.map { Row(first: $0.first, second: $0.second, label: places[$0.label] ?? 0) }
  }

  private static func classes(_ labels: [String], name: String) throws(EvaluationError) -> [String] {
    let different = Set(labels)
    guard different.count > 1 else {
      throw EvaluationError(.badText, name, "all rows have the label '\(labels[0].prefix(40))'")
    }
    guard different.count <= classLimit else {
      throw EvaluationError(
        .badText, name,
        "\(different.count) different labels, at most \(classLimit) are classes; scores of pairs go to --eval"
      )
    }
    let numbers = different.compactMap { label in Int(label).map { (number: $0, label: label) } }
    // "1" and "01" are two labels of one number: then words decide.
    guard numbers.count == different.count, Set(numbers.map(\.number)).count == numbers.count else {
      return different.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
    return numbers.sorted { $0.number < $1.number }.map(\.label)
  }

  /// Where texts and labels are.
  private struct Columns {
    var first = 0
    var second: Int?
    var label = 1
    var isNamed = false
    var last: Int { max(first, second ?? 0, label) }

    init(_ head: DelimitedText.Row, name: String) throws(EvaluationError) {
      let names = head.fields.map { LabelledText.trim($0).lowercased() }
      func column(_ candidates: [String]) -> Int? { names.firstIndex { candidates.contains($0) } }
      guard let named = column(["label", "class", "category"]) else {
        guard (2...3).contains(head.fields.count) else {
          throw EvaluationError(
            .badText, name,
            "\(head.fields.count) columns without a header; expected text, label or sentence1, sentence2, label"
          )
        }
        if head.fields.count == 3 { (second, label) = (1, 2) }
        return
      }
      isNamed = true
      label = named
      second = column(["sentence2", "text2", "hypothesis", "question2"])
      let known = column([
        "sentence1", "text1", "premise", "question1", "sentence", "text", "question", "content",
      ])
      let other = names.indices.first { $0 != named && $0 != second }
      guard let text = known ?? other, text != second else {
        throw EvaluationError(.badText, name, "the header names no column of texts")
      }
      first = text
    }
  }

  private static func trim(_ field: [UInt8]) -> String {
    func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
    var field = field.drop(while: isSpace)
    while let last = field.last, isSpace(last) { field.removeLast() }
    return String(decoding: field, as: UTF8.self)
  }
}

/// How a language model is asked for a label: a text with `{text}` (`{text1}` and `{text2}` for pairs), ending in `{label}`.
public struct LabelTemplate: Sendable, Equatable {
  /// The text; `\n` stands for a line break.
  public var text: String
  /// What stands for each class, in their order; nil for the labels themselves.
  public var words: [String]?

  /// The template that is used where none is given.
  public static func plain(isPairs: Bool) -> LabelTemplate {
    LabelTemplate(text: isPairs ? "{text1}\\n{text2}\\nlabel: {label}" : "{text}\\nlabel: {label}")
  }

  /// A template.
  public init(text: String, words: [String]? = nil) {
    self.text = text
    self.words = words
  }

  /// The questions that the rows of `labelled` are, and behind them the one whose texts are empty.
  ///
  /// - Throws: ``EvaluationError`` when the template does not fit.
  func questions(_ labelled: LabelledText) throws(EvaluationError) -> [TaskText.Item] {
    func bad(_ what: String) -> EvaluationError { EvaluationError(.badText, labelled.name, what) }
    let plain = text.replacing("\\n", with: "\n")
    guard plain.hasSuffix("{label}"), plain.ranges(of: "{label}").count == 1 else {
      throw bad("the template does not end with its only {label}")
    }
    let names = labelled.isPairs ? ["{text1}", "{text2}"] : ["{text}"]
    guard names.allSatisfy({ plain.contains($0) }) else {
      throw bad("the template has no \(names.joined(separator: " and "))")
    }
    guard words.map({ $0.count == labelled.classes.count }) ?? true else {
      throw bad(
        "\(words?.count ?? 0) words for \(labelled.classes.count) labels: \(labelled.classes.joined(separator: ", "))"
      )
    }
    // Tokenizers have a word's space in front of it.
    var start = plain.dropLast("{label}".count)
    let space = start.last == " " ? " " : ""
    if !space.isEmpty { start.removeLast() }
    let choices = (words ?? labelled.classes).map { Array((space + $0).utf8) }
    guard choices.allSatisfy({ !$0.isEmpty }), Set(choices).count == choices.count else {
      throw bad("two labels have the same word, or one has none")
    }
    func item(_ first: [UInt8], _ second: [UInt8], _ label: Int) -> TaskText.Item {
      let texts = Array(zip(names, [first, second]))
      return TaskText.Item(prompt: LabelTemplate.filled(start, texts), choices: choices, answer: label)
    }
    return labelled.rows.map { item($0.first, $0.second ?? [], $0.label) } + [item([], [], 0)]
  }

  /// `start` with each name replaced by its bytes; what they hold is not looked at again.
  private static func filled(_ start: Substring, _ values: [(name: String, bytes: [UInt8])]) -> [UInt8] {
    var result: [UInt8] = []
    var rest = start
    while let brace = rest.firstIndex(of: "{") {
      result += Array(rest[..<brace].utf8)
      rest = rest[brace...]
      if let (name, bytes) = values.first(where: { rest.hasPrefix($0.name) }) {
        result += bytes
        rest = rest.dropFirst(name.count)
      } else {
        result.append(UInt8(ascii: "{"))
        rest = rest.dropFirst()
      }
    }
    return result + Array(rest.utf8)
  }
}
