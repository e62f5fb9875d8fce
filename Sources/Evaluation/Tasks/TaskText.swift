import ModelFiles
import TensorCore

/// Questions with right answers, a JSON object a line: multiple choice, or words to find.
///
/// `{"prompt": "Anna baked", "choices": [" bread", " sand"], "answer": 0}` asks which continuation is likeliest;
/// `{"prompt": "Anna was a", "completion": " baker"}` whether the likeliest tokens are these.
public struct TaskText: Sendable, Equatable {
  /// A question.
  public struct Item: Sendable, Equatable {
    /// What comes before the answer.
    public var prompt: [UInt8]
    /// The answers to choose from; one that is to be found word for word.
    public var choices: [[UInt8]]
    /// The place of the right one.
    public var answer: Int

    /// A question of these parts.
    public init(prompt: [UInt8], choices: [[UInt8]], answer: Int) {
      self.prompt = prompt
      self.choices = choices
      self.answer = answer
    }

    /// Whether there is nothing to choose from.
    public var isCloze: Bool { choices.count == 1 }
  }

  /// The file's name without its folder.
  public var name: String
  /// Its SHA-256.
  public var sha256: String
  /// The questions.
  public var items: [Item]

  /// The most answers of a question.
  private static let choiceLimit = 100

  /// Questions that were put together.
  init(name: String, sha256: String, items: [Item]) {
    self.name = name
    self.sha256 = sha256
    self.items = items
  }

  /// The file at `path`.
  ///
  /// - Throws: ``FileError`` when it cannot be read; ``EvaluationError`` when a line is no question.
  public init(path: String) throws {
    let file = try MappedFile(path: path)
    try self.init(name: path.split(separator: "/").last.map(String.init) ?? path, bytes: file.region.array)
  }

  /// The same from `bytes`.
  public init(name: String, bytes: [UInt8]) throws(EvaluationError) {
    self.name = name
    sha256 = bytes.withUnsafeBytes { FileHash.sha256(of: $0) }
    items = []
    for (number, line) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
      guard !line.allSatisfy({ $0 == 0x20 || (0x09...0x0D).contains($0) }) else { continue }
      guard let object = line.withUnsafeBytes({ try? JSONValue(parsing: $0) }) else {
        throw EvaluationError(.badText, name, "line \(number + 1) is no JSON object")
      }
      items.append(try TaskText.item(object, line: number + 1, name: name))
    }
    guard !items.isEmpty else { throw EvaluationError(.tooShort, name, "there is no question in it") }
    guard Set(items.map(\.isCloze)).count == 1 else {
      throw EvaluationError(.badText, name, "some lines have choices, others a completion; use two files")
    }
  }

  private static func item(
    _ object: JSONValue, line: Int, name: String
  ) throws(EvaluationError) -> Item {
    func bad(_ what: String) -> EvaluationError { EvaluationError(.badText, name, "line \(line): \(what)") }
    guard let prompt = object["prompt"]?.stringValue else { throw bad("no string \"prompt\"") }
    if let completion = object["completion"]?.stringValue {
      guard !completion.isEmpty else { throw bad("\"completion\" is empty") }
      return Item(prompt: Array(prompt.utf8), choices: [Array(completion.utf8)], answer: 0)
    }
    let texts = object["choices"]?.arrayValue?.map(\.stringValue) ?? []
    let choices = texts.compactMap(\.self).filter { !$0.isEmpty }
    guard choices.count == texts.count, (2...choiceLimit).contains(choices.count) else {
      throw bad("no \"completion\", and \"choices\" are no 2 to \(choiceLimit) strings")
    }
    guard let answer = object["answer"]?.intValue, choices.indices.contains(answer) else {
      throw bad("\"answer\" is no number from 0 to \(choices.count - 1)")
    }
    return Item(prompt: Array(prompt.utf8), choices: choices.map { Array($0.utf8) }, answer: answer)
  }
}
