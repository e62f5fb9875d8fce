public import ModelFiles

/// Text to token ids and back.
public protocol Tokenizer: Sendable {
  /// The number of ids.
  var vocabularySize: Int { get }
  /// The id that begins a text, if there is one.
  var beginningOfText: Int? { get }
  /// The id that ends a text, if there is one.
  var endOfText: Int? { get }
  /// Every id at which generation stops.
  var stopIDs: Set<Int> { get }
  /// Whether ``encode(_:addSpecial:)`` puts special ids around the text when asked to (BOS, or [CLS] … [SEP]).
  var addsBeginningOfText: Bool { get }

  /// The ids of `text`; bytes that are no UTF-8 are treated as the original library treats them.
  ///
  /// - Parameter addSpecial: whether the model's own special ids are added (BOS, EOS, [CLS], [SEP]).
  func encode(_ text: [UInt8], addSpecial: Bool) -> [Int]

  /// The bytes of `ids`, as the original library decodes them; special ids give nothing.
  func decode(_ ids: [Int]) -> [UInt8]

  /// The bytes that `id` adds inside a text, for streaming; empty for special ids.
  func piece(_ id: Int) -> [UInt8]

  /// The `tokenizer.ggml.*` entries that describe this tokenizer in a GGUF file.
  var ggufEntries: [GGUFEntry] { get }
}

/// Why a tokenizer cannot be read.
public struct TokenizerError: Error, Equatable, CustomStringConvertible {
  /// The file.
  public var path: String
  /// What is wrong, and what to do.
  public var message: String
  /// The file and the message, as one line.
  public var description: String { "\(path): \(message)" }

  /// A failure in `path`.
  public init(path: String, _ message: String) {
    self.path = path
    self.message = message
  }
}
