import TensorCore

/// Text from a language model, token by token.
public enum Generator {
  /// What was generated.
  public struct Result: Sendable {
    /// The tokens, without the prompt and without the stop token.
    public var tokens: [Int]
    /// Why generation ended.
    public var reason: StopReason
  }

  /// Why generation ended.
  public enum StopReason: String, Sendable {
    /// The model ended the text.
    case endOfText = "end-of-text"
    /// As many tokens as asked for.
    case tokenLimit = "token-limit"
    /// Prompt and text fill the model's context.
    case contextLimit = "context-limit"
  }

  /// Continues `prompt`, handing over text as soon as it is whole.
  ///
  /// - Parameters:
  ///   - prompt: the tokens to continue, special ones included.
  ///   - maxTokens: the most tokens to generate.
  ///   - precision: how keys and values are kept.
  ///   - onText: takes the next bytes; they never end inside a UTF-8 character unless the model wrote no UTF-8.
  /// - Precondition: the prompt is not empty and fits the model's context.
  public static func generate(
    model: any LanguageModel, tokenizer: any Tokenizer, prompt: [Int], maxTokens: Int, sampler: Sampler,
    precision: KVPrecision = .f32, onText: ([UInt8]) throws -> Void
  ) rethrows -> Result {
    precondition(
      !prompt.isEmpty && prompt.count <= model.contextLength, "the prompt does not fit the context")
    var sampler = sampler
    var text = UTF8Stream()
    var tokens: [Int] = []
    let room = model.contextLength - prompt.count
    let limit = max(0, min(maxTokens, room))
    var reason = limit < maxTokens ? StopReason.contextLimit : .tokenLimit
    let cache = model.makeCache(capacity: prompt.count + limit, precision: precision)
    // From here on a token takes no memory but that of its text.
    var logits = [Float](repeating: 0, count: model.vocabularySize)
    tokens.reserveCapacity(min(limit, 4096))
    while tokens.count < limit {
      if let last = tokens.last {
        logits.withUnsafeMutableBufferPointer { target in
          if let base = target.baseAddress { model.next(last, cache: cache, into: base) }
        }
      } else {
        logits = model.forward(prompt, cache: cache, logits: .last).elements
      }
      let token = logits.withUnsafeBufferPointer { sampler.pick($0) }
      guard !tokenizer.stopIDs.contains(token) else {
        reason = .endOfText
        break
      }
      tokens.append(token)
      let bytes = text.add(tokenizer.piece(token))
      if !bytes.isEmpty { try onText(bytes) }
    }
    let rest = text.finish()
    if !rest.isEmpty { try onText(rest) }
    return Result(tokens: tokens, reason: reason)
  }
}

/// Holds bytes back until the UTF-8 character that they begin is whole.
package struct UTF8Stream: Sendable {
  private var pending: [UInt8] = []

  /// An empty stream.
  package init() {}

  /// Takes the next bytes, gives those that end with a whole character. Bytes that no character begins with pass.
  package mutating func add(_ bytes: [UInt8]) -> [UInt8] {
    if pending.isEmpty, UTF8Stream.unfinished(bytes) == 0 { return bytes }
    pending += bytes
    let held = UTF8Stream.unfinished(pending)
    defer { pending.removeFirst(pending.count - held) }
    return Array(pending.dropLast(held))
  }

  /// What is still held back.
  package mutating func finish() -> [UInt8] {
    defer { pending = [] }
    return pending
  }

  /// How many bytes at the end begin a character without ending it: 0 to 3.
  private static func unfinished(_ bytes: [UInt8]) -> Int {
    for back in 1...3 where back <= bytes.count {
      let byte = bytes[bytes.count - back]
      if byte & 0xC0 == 0x80 { continue }
      let length = byte >= 0xF0 && byte < 0xF8 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC2 ? 2 : 1
      return length > back && byte < 0xF8 ? back : 0
    }
    return 0
  }
}
