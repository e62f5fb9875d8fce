/// How a normalized text is cut into words, as Hugging Face's `pre_tokenizers` do it.
enum PreTokenizer: Sendable {
  /// What a pattern is matched by.
  enum Matcher: Sendable {
    case pattern(Pattern)
    case text([UInt8])
  }
  /// Where Metaspace puts its mark in front.
  enum PrependScheme: String, Sendable { case first, never, always }

  case byteLevel(addsPrefixSpace: Bool, pattern: Pattern?)
  case split(Matcher, TextSegments.Behavior, isInverted: Bool)
  case digits(areIndividual: Bool)
  case whitespace(Pattern)
  case whitespaceSplit
  case metaspace(replacement: [UInt8], PrependScheme, splits: Bool)
  case bert
  case punctuation(TextSegments.Behavior)

  /// The pattern of GPT-2, which ByteLevel has built in.
  static let gpt2Pattern =
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
  /// The pattern of Llama 3, as its `tokenizer.json` has it.
  static let llama3Pattern =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  /// The pattern of Qwen 2, as its `tokenizer.json` has it.
  static let qwen2Pattern =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  /// The pattern of the Whitespace pre-tokenizer.
  static let whitespacePattern = #"\w+|[^\w\s]+"#

  /// Cuts `segments` further.
  func apply(to segments: inout TextSegments) {
    switch self {
    case .byteLevel(let addsPrefixSpace, let pattern):
      if addsPrefixSpace { segments.rewrite { text, _ in text.first == 0x20 ? nil : [0x20] + text } }
      if let pattern { segments.split(.isolated) { pattern.matches(in: $0, $1, body: $2) } }
    case .split(.pattern(let pattern), let behavior, let isInverted):
      segments.split(behavior, inverted: isInverted) { pattern.matches(in: $0, $1, body: $2) }
    case .split(.text(let text), let behavior, let isInverted):
      segments.split(behavior, inverted: isInverted) { PreTokenizer.find(text, in: $0, $1, $2) }
    case .digits(let areIndividual):
      segments.split(areIndividual ? .isolated : .contiguous) {
        !ScalarClasses.of($0).isDisjoint(with: .number)
      }
    case .whitespace(let pattern):
      segments.split(.removed, inverted: true) { pattern.matches(in: $0, $1, body: $2) }
    case .whitespaceSplit:
      segments.split(.removed) { ScalarClasses.of($0).contains(.space) }
    case .metaspace(let replacement, let scheme, let splits):
      PreTokenizer.markSpaces(&segments, replacement, scheme)
      if splits { segments.split(.mergedWithNext) { PreTokenizer.find(replacement, in: $0, $1, $2) } }
    case .bert:
      segments.split(.removed) { ScalarClasses.of($0).contains(.space) }
      segments.split(.isolated, at: HuggingFaceUnicode.isPunctuation)
    case .punctuation(let behavior):
      segments.split(behavior, at: HuggingFaceUnicode.isPunctuation)
    }
  }

  private static func markSpaces(
    _ segments: inout TextSegments, _ replacement: [UInt8], _ scheme: PrependScheme
  ) {
    segments.rewrite { text, startsInput in
      var marked = UTF8Text.replacing(Array(text), [0x20], with: replacement)
      let isWanted = scheme == .always || (scheme == .first && startsInput)
      if isWanted, !marked.starts(with: replacement) { marked = replacement + marked }
      return marked
    }
  }

  private static func find(
    _ text: [UInt8], in buffer: UnsafeRawBufferPointer, _ range: Range<Int>, _ body: (Range<Int>) -> Void
  ) {
    guard let first = text.first else { return }
    var place = range.lowerBound
    while place + text.count <= range.upperBound {
      if buffer[place] == first, buffer[place..<place + text.count].elementsEqual(text) {
        body(place..<place + text.count)
        place += text.count
      } else {
        place += 1
      }
    }
  }
}
