import ModelFiles

/// What the values of `tokenizer.ggml.pre` stand for: llama.cpp names the pre-tokenizers of byte-level vocabularies.
enum PreTokenizerNames {
  private static let cases = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"#
  private static let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#
  private static let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
  private static let other = #"[^\r\n\p{L}\p{N}]?"#
  private static let rest = #" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

  /// The pattern of GPT-4o (o200k).
  static let gpt4oPattern =
    "\(other)\(upper)*\(lower)+\(cases)|\(other)\(upper)+\(lower)*\(cases)|" + #"\p{N}{1,3}|"# + rest
  /// The pattern of Mistral's tekken.
  static let tekkenPattern =
    "\(other)\(upper)*\(lower)+|\(other)\(upper)+\(lower)*|" + #"\p{N}|"# + rest

  /// What `pre` "default" cuts by, one after another.
  private static let defaultPatterns = [
    #"[\p{P}\$\+<=>\^~\|]+"#, #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"#,
    #"\p{N}+"#, "[0-9][0-9][0-9]",
  ]

  /// The pre-tokenizer that `name` stands for as a `tokenizer.json` describes it, whether whole words are looked up first,
  /// and whether the beginning is marked by default; nil for an unknown name.
  static func description(_ name: String) -> (
    preTokenizer: JSONValue, ignoresMerges: Bool, addsBeginning: Bool
  )? {
    switch name {
    case "gpt-2", "phi-2", "mpt", "olmo", "jais", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de",
      "roberta-bpe",
      "gigachat", "a.x-4.0", "mellum":
      (.byteLevel(usesPattern: true), false, false)
    case "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2":
      (.sequence([.split(PreTokenizer.llama3Pattern), .byteLevel(usesPattern: false)]), true, true)
    case "dbrx", "smaug-bpe", "chatglm-bpe", "glm4":
      (.sequence([.split(PreTokenizer.llama3Pattern), .byteLevel(usesPattern: false)]), false, false)
    case "qwen2", "stablelm2", "deepseek-r1-qwen", "megrez":
      (.sequence([.split(PreTokenizer.qwen2Pattern), .byteLevel(usesPattern: false)]), false, false)
    case "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b":
      (.sequence([.digits, .byteLevel(usesPattern: true)]), false, false)
    case "gpt-4o", "llama4":
      (.sequence([.split(gpt4oPattern), .byteLevel(usesPattern: false)]), false, false)
    case "tekken":
      (.sequence([.split(tekkenPattern), .byteLevel(usesPattern: false)]), true, true)
    case "default":
      (.sequence(defaultPatterns.map { .split($0) } + [.byteLevel(usesPattern: false)]), false, false)
    default: nil
    }
  }

  /// llama.cpp's name for `steps`, or "default" when it has none.
  static func name(of steps: [PreTokenizer], ignoresMerges: Bool) -> String {
    var patterns: [String] = []
    for step in steps {
      switch step {
      case .byteLevel(addsPrefixSpace: false, let pattern): if let pattern { patterns.append(pattern.source) }
      case .split(.pattern(let pattern), .isolated, isInverted: false): patterns.append(pattern.source)
      case .split(.pattern(let pattern), .removed, isInverted: true): patterns.append(pattern.source)
      case .digits(areIndividual: true): patterns.append("digits")
      default: return "default"
      }
    }
    switch patterns {
    case [PreTokenizer.gpt2Pattern]: return "gpt-2"
    case [PreTokenizer.llama3Pattern]: return ignoresMerges ? "llama-bpe" : "dbrx"
    case [PreTokenizer.qwen2Pattern]: return "qwen2"
    case ["digits", PreTokenizer.gpt2Pattern]: return "smollm"
    case [gpt4oPattern]: return "gpt-4o"
    case [tekkenPattern]: return "tekken"
    default: return "default"
    }
  }
}

extension JSONValue {
  /// A component of a `tokenizer.json`.
  static func component(_ type: String, _ members: [(String, JSONValue)] = []) -> JSONValue {
    .object(JSONObject([("type", .string(type))] + members))
  }

  fileprivate static func byteLevel(usesPattern: Bool) -> JSONValue {
    .component("ByteLevel", [("add_prefix_space", .bool(false)), ("use_regex", .bool(usesPattern))])
  }

  fileprivate static func split(_ pattern: String) -> JSONValue {
    .component(
      "Split",
      [
        ("pattern", .object(JSONObject([("Regex", .string(pattern))]))), ("behavior", .string("Isolated")),
        ("invert", .bool(false)),
      ])
  }

  fileprivate static var digits: JSONValue { .component("Digits", [("individual_digits", .bool(true))]) }

  fileprivate static func sequence(_ steps: [JSONValue]) -> JSONValue {
    .component("Sequence", [("pretokenizers", .array(steps))])
  }

  /// A template of special tokens around a text.
  static func template(before: [(String, Int)], after: [(String, Int)]) -> JSONValue {
    func part(_ token: (String, Int)) -> JSONValue {
      .object(JSONObject([("SpecialToken", .object(JSONObject([("id", .string(token.0))])))]))
    }
    let text = JSONValue.object(JSONObject([("Sequence", .object(JSONObject([("id", .string("A"))])))]))
    let ids = (before + after).map { name, id in
      (name, JSONValue.object(JSONObject([("ids", .array([.integer(id)]))])))
    }
    return .component(
      "TemplateProcessing",
      [
        ("single", .array(before.map(part) + [text] + after.map(part))),
        ("special_tokens", .object(JSONObject(ids))),
      ])
  }

  /// An entry of `added_tokens`.
  static func addedToken(_ id: Int, _ content: String, isSpecial: Bool) -> JSONValue {
    .object(JSONObject([("id", .integer(id)), ("content", .string(content)), ("special", .bool(isSpecial))]))
  }
}
