import ModelFiles

/// Reads the components of a `tokenizer.json`. What it doesn't know, it refuses by name.
struct ComponentParser {
  let path: String

  private func fail(_ message: String) -> TokenizerError { TokenizerError(path: path, message) }

  private func type(_ value: JSONValue, _ kind: String) throws(TokenizerError) -> String {
    guard let type = value["type"]?.stringValue else { throw fail("a \(kind) has no \"type\"") }
    return type
  }

  private func flag(_ value: JSONValue, _ key: String, _ fallback: Bool) -> Bool {
    value[key]?.boolValue ?? fallback
  }

  private func bytes(_ value: JSONValue, _ key: String, _ kind: String) throws(TokenizerError) -> [UInt8] {
    guard let text = value[key]?.stringValue else { throw fail("the \(kind) has no \"\(key)\"") }
    return Array(text.utf8)
  }

  /// A pattern, or an error that quotes it.
  func pattern(_ source: String) throws(TokenizerError) -> Pattern {
    do throws(PatternParser.Failure) {
      return try Pattern(source)
    } catch {
      throw fail("the pattern '\(source)' is not supported: \(error.message) at character \(error.offset)")
    }
  }

  private enum Search {
    case text([UInt8])
    case pattern(Pattern)
  }

  /// `{"String": …}` or `{"Regex": …}`, or a plain string.
  private func search(_ value: JSONValue?, _ kind: String) throws(TokenizerError) -> Search {
    if let text = value?["Regex"]?.stringValue { return .pattern(try pattern(text)) }
    if let text = value?["String"]?.stringValue ?? value?.stringValue { return .text(Array(text.utf8)) }
    throw fail("the \(kind) has no \"pattern\"")
  }

  // MARK: Normalizers

  /// How many times longer a text may become: a chain of replacements that each double it would fill any memory.
  private static let growthLimit = 4096

  /// Refuses steps that together can make a text more than ``growthLimit`` times longer.
  private func bounded<Step>(
    _ steps: [Step], _ kind: String, _ growth: (Step) -> Int
  ) throws(TokenizerError) -> [Step] {
    var total = 1
    for step in steps {
      total *= min(growth(step), ComponentParser.growthLimit + 1)
      guard total <= ComponentParser.growthLimit else {
        throw fail(
          "the \(kind) can make a text more than \(ComponentParser.growthLimit) times longer; is the file damaged?"
        )
      }
    }
    return steps
  }

  func normalizers(_ value: JSONValue?) throws(TokenizerError) -> [Normalizer] {
    try bounded(try normalizerSteps(value), "normalizer") { step in
      switch step {
      case .replaceText(let text, let content): max(1, content.count / max(1, text.count) + 1)
      case .replacePattern(_, let content): max(1, content.count)
      case .prepend(let prefix): 1 + prefix.count
      case .precompiled(let map): max(1, map.longestReplacement)
      default: 1
      }
    }
  }

  private func normalizerSteps(_ value: JSONValue?) throws(TokenizerError) -> [Normalizer] {
    guard let value, value != .null else { return [] }
    let type = try type(value, "normalizer")
    switch type {
    case "Sequence":
      var steps: [Normalizer] = []
      for part in value["normalizers"]?.arrayValue ?? [] { steps += try normalizerSteps(part) }
      return steps
    case "NFC", "NFD", "NFKC", "NFKD": return Normalizer.Form(rawValue: type).map { [.form($0)] } ?? []
    case "Lowercase": return [.lowercase]
    case "StripAccents": return [.stripAccents]
    case "Nmt": return [.nmt]
    case "BertNormalizer":
      let lowercases = flag(value, "lowercase", true)
      return [
        .bert(
          .init(
            cleansText: flag(value, "clean_text", true),
            separatesChinese: flag(value, "handle_chinese_chars", true),
            stripsAccents: flag(value, "strip_accents", lowercases), lowercases: lowercases))
      ]
    case "Replace":
      let content = try bytes(value, "content", "normalizer Replace")
      switch try search(value["pattern"], "normalizer Replace") {
      case .text(let text): return [.replaceText(text, with: content)]
      case .pattern(let pattern): return [.replacePattern(pattern, with: content)]
      }
    case "Prepend": return [.prepend(try bytes(value, "prepend", "normalizer Prepend"))]
    case "Strip":
      return [.strip(left: flag(value, "strip_left", true), right: flag(value, "strip_right", true))]
    case "Precompiled":
      let text = value["precompiled_charsmap"]?.stringValue ?? ""
      guard let blob = Base64.decode(Array(text.utf8)) else {
        throw fail("the rules of the normalizer Precompiled are no Base64")
      }
      return try CharsMap(blob, path: path).map { [.precompiled($0)] } ?? []
    default: throw fail("the normalizer '\(type)' is not supported")
    }
  }

  // MARK: Pre-tokenizers

  func preTokenizers(_ value: JSONValue?) throws(TokenizerError) -> [PreTokenizer] {
    try bounded(try preTokenizerSteps(value), "pre-tokenizer") { step in
      switch step {
      case .metaspace(let replacement, _, _): 1 + replacement.count
      case .byteLevel: 2
      default: 1
      }
    }
  }

  private func preTokenizerSteps(_ value: JSONValue?) throws(TokenizerError) -> [PreTokenizer] {
    guard let value, value != .null else { return [] }
    let type = try type(value, "pre-tokenizer")
    switch type {
    case "Sequence":
      var steps: [PreTokenizer] = []
      for part in value["pretokenizers"]?.arrayValue ?? [] { steps += try preTokenizerSteps(part) }
      for case .byteLevel in steps.dropLast() {
        throw fail("the pre-tokenizer ByteLevel is only supported as the last of a sequence")
      }
      return steps
    case "ByteLevel":
      let pattern = flag(value, "use_regex", true) ? try pattern(PreTokenizer.gpt2Pattern) : nil
      return [.byteLevel(addsPrefixSpace: flag(value, "add_prefix_space", true), pattern: pattern)]
    case "Split":
      let isInverted = flag(value, "invert", false)
      let behavior = try behavior(value["behavior"], "Split")
      switch try search(value["pattern"], "pre-tokenizer Split") {
      case .text(let text): return [.split(.text(text), behavior, isInverted: isInverted)]
      case .pattern(let pattern): return [.split(.pattern(pattern), behavior, isInverted: isInverted)]
      }
    case "Digits": return [.digits(areIndividual: flag(value, "individual_digits", false))]
    case "Whitespace": return [.whitespace(try pattern(PreTokenizer.whitespacePattern))]
    case "WhitespaceSplit": return [.whitespaceSplit]
    case "Metaspace":
      let replacement = try bytes(value, "replacement", "pre-tokenizer Metaspace")
      return [.metaspace(replacement: replacement, try scheme(value), splits: flag(value, "split", true))]
    case "BertPreTokenizer": return [.bert]
    case "Punctuation":
      return [.punctuation(value["behavior"] == nil ? .isolated : try behavior(value["behavior"], type))]
    default: throw fail("the pre-tokenizer '\(type)' is not supported")
    }
  }

  private func behavior(_ value: JSONValue?, _ kind: String) throws(TokenizerError) -> TextSegments.Behavior {
    guard let name = value?.stringValue, let behavior = TextSegments.Behavior(rawValue: name) else {
      throw fail("the pre-tokenizer \(kind) has no known \"behavior\"")
    }
    return behavior
  }

  private func scheme(_ value: JSONValue) throws(TokenizerError) -> PreTokenizer.PrependScheme {
    if value["add_prefix_space"]?.boolValue == false { return .never }
    guard let name = value["prepend_scheme"]?.stringValue else { return .always }
    guard let scheme = PreTokenizer.PrependScheme(rawValue: name) else {
      throw fail("the prepend scheme '\(name)' is not supported")
    }
    return scheme
  }

  // MARK: Decoders

  func decoders(_ value: JSONValue?) throws(TokenizerError) -> [Decoder] {
    try bounded(try decoderSteps(value), "decoder") { step in
      switch step {
      case .replaceText(let text, let content): max(1, content.count / max(1, text.count) + 1)
      case .replacePattern(_, let content): max(1, content.count)
      default: 1
      }
    }
  }

  private func decoderSteps(_ value: JSONValue?) throws(TokenizerError) -> [Decoder] {
    guard let value, value != .null else { return [] }
    let type = try type(value, "decoder")
    switch type {
    case "Sequence":
      var steps: [Decoder] = []
      for part in value["decoders"]?.arrayValue ?? [] { steps += try decoderSteps(part) }
      return steps
    case "ByteLevel": return [.byteLevel]
    case "WordPiece":
      let prefix = value["prefix"] == nil ? Array("##".utf8) : try bytes(value, "prefix", "decoder WordPiece")
      return [.wordPiece(prefix: prefix, cleansUp: flag(value, "cleanup", true))]
    case "Metaspace":
      return [
        .metaspace(replacement: try bytes(value, "replacement", "decoder Metaspace"), try scheme(value))
      ]
    case "ByteFallback": return [.byteFallback]
    case "Fuse": return [.fuse]
    case "Replace":
      let content = try bytes(value, "content", "decoder Replace")
      switch try search(value["pattern"], "decoder Replace") {
      case .text(let text): return [.replaceText(text, with: content)]
      case .pattern(let pattern): return [.replacePattern(pattern, with: content)]
      }
    case "Strip":
      let content = try bytes(value, "content", "decoder Strip")
      let (start, stop) = (value["start"]?.intValue ?? 0, value["stop"]?.intValue ?? 0)
      return [.strip(content: content, start: max(start, 0), stop: max(stop, 0))]
    case "BPEDecoder": return [.bytePair(suffix: Array((value["suffix"]?.stringValue ?? "</w>").utf8))]
    default: throw fail("the decoder '\(type)' is not supported")
    }
  }

  // MARK: Templates

  /// What stands around a single text; `count` is the number of ids.
  func template(_ value: JSONValue?, count: Int) throws(TokenizerError) -> [PipelineTokenizer.TemplatePart] {
    guard let value, value != .null else { return [.text] }
    let type = try type(value, "post-processor")
    switch type {
    case "ByteLevel": return [.text]
    case "BertProcessing", "RobertaProcessing":
      return [
        .special(try pairID(value["cls"], count, type)), .text,
        .special(try pairID(value["sep"], count, type)),
      ]
    case "TemplateProcessing": return try templateParts(value, count)
    case "Sequence":
      var parts: [PipelineTokenizer.TemplatePart] = [.text]
      for step in value["processors"]?.arrayValue ?? [] {
        let outer = try template(step, count: count)
        parts = outer.flatMap { $0 == .text ? parts : [$0] }
      }
      return parts
    default: throw fail("the post-processor '\(type)' is not supported")
    }
  }

  private func templateParts(
    _ value: JSONValue, _ count: Int
  ) throws(TokenizerError) -> [PipelineTokenizer.TemplatePart] {
    var parts: [PipelineTokenizer.TemplatePart] = []
    for part in value["single"]?.arrayValue ?? [] {
      if part["Sequence"] != nil {
        parts.append(.text)
      } else if let name = part["SpecialToken"]?["id"]?.stringValue {
        let ids = value["special_tokens"]?[name]?["ids"]?.arrayValue ?? []
        guard !ids.isEmpty else { throw fail("the template names '\(name)', which has no ids") }
        for id in ids { parts.append(.special(try check(id.intValue, count, "template"))) }
      } else {
        throw fail("the template has a part that is neither a text nor a special token")
      }
    }
    guard parts.filter({ $0 == .text }).count == 1 else {
      throw fail("the template does not have its text once")
    }
    return parts
  }

  /// The id of `["[SEP]", 102]`.
  private func pairID(_ value: JSONValue?, _ count: Int, _ kind: String) throws(TokenizerError) -> Int {
    guard let pair = value?.arrayValue, pair.count == 2 else {
      throw fail("the post-processor \(kind) is incomplete")
    }
    return try check(pair[1].intValue, count, kind)
  }

  private func check(_ id: Int?, _ count: Int, _ kind: String) throws(TokenizerError) -> Int {
    guard let id, id >= 0, id < count else {
      throw fail("the \(kind) names id \(id.map(String.init) ?? "none"), the vocabulary has \(count)")
    }
    return id
  }
}

/// Base64 (RFC 4648), strict but for missing padding.
enum Base64 {
  /// The bytes of `text`, or nil.
  static func decode(_ text: [UInt8]) -> [UInt8]? {
    var output: [UInt8] = []
    output.reserveCapacity(text.count / 4 * 3)
    var bits: UInt32 = 0
    var count = 0
    var body = text[...]
    while body.last == UInt8(ascii: "=") { body.removeLast() }
    for byte in body {
      let value: UInt8
      switch byte {
      case 0x41...0x5A: value = byte - 0x41
      case 0x61...0x7A: value = byte - 0x61 + 26
      case 0x30...0x39: value = byte - 0x30 + 52
      case 0x2B: value = 62
      case 0x2F: value = 63
      default: return nil
      }
      bits = bits << 6 | UInt32(value)
      count += 6
      if count >= 8 {
        count -= 8
        output.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
      }
    }
    return count < 6 ? output : nil
  }
}
