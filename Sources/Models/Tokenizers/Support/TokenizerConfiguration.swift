import ModelFiles

/// What `tokenizer_config.json` and `special_tokens_map.json` say, in the forms of all versions of transformers.
struct TokenizerConfiguration: Sendable {
  /// A token that was added to a vocabulary.
  struct AddedToken: Sendable, Equatable {
    var id: Int
    var content: String
    var isSpecial = false
    var isSingleWord = false
    var stripsLeft = false
    var stripsRight = false
    var isNormalized = false
  }

  /// How far behind a vocabulary added tokens may lie: bounds what a crafted id can allocate.
  static let addedTokenLimit = 1 << 20

  var className: String?
  var addsBeginning: Bool?
  var addsEnd: Bool?
  var isLegacy: Bool?
  var addedTokens: [AddedToken] = []
  var beginning: String?
  var end: String?
  var unknown: String?
  var padding: String?
  var separator: String?
  var classifier: String?
  var mask: String?
  var chatTemplate: String?
  var lowercases: Bool?
  var stripsAccents: Bool?
  var separatesChinese: Bool?
  /// Ids that `config.json` and `generation_config.json` name.
  var beginningID: Int?
  var endIDs: [Int] = []

  /// Reads the two documents; the configuration wins where both say something.
  init(_ document: JSONValue?, specialTokens: JSONValue? = nil) {
    func text(_ key: String) -> String? {
      TokenizerConfiguration.content(document?[key]) ?? TokenizerConfiguration.content(specialTokens?[key])
    }
    className = document?["tokenizer_class"]?.stringValue
    addsBeginning = document?["add_bos_token"]?.boolValue
    addsEnd = document?["add_eos_token"]?.boolValue
    isLegacy = document?["legacy"]?.boolValue
    beginning = text("bos_token")
    end = text("eos_token")
    unknown = text("unk_token")
    padding = text("pad_token")
    separator = text("sep_token")
    classifier = text("cls_token")
    mask = text("mask_token")
    lowercases = document?["do_lower_case"]?.boolValue
    stripsAccents = document?["strip_accents"]?.boolValue
    separatesChinese = document?["tokenize_chinese_chars"]?.boolValue
    chatTemplate = TokenizerConfiguration.template(document?["chat_template"])
    for (key, value) in document?["added_tokens_decoder"]?.objectValue?.members ?? [] {
      guard let id = Int(key), let content = value["content"]?.stringValue, !content.isEmpty else { continue }
      addedTokens.append(AddedToken(id: id, content: content, flags: value))
    }
  }

  /// Takes the ids of `config.json` and `generation_config.json`, of which the latter may list several ends.
  mutating func readIDs(config: JSONValue?, generation: JSONValue?) {
    beginningID = config?["bos_token_id"]?.intValue ?? generation?["bos_token_id"]?.intValue
    for document in [config, generation] {
      let value = document?["eos_token_id"]
      endIDs += value?.intValue.map { [$0] } ?? (value?.arrayValue ?? []).compactMap(\.intValue)
    }
  }

  /// Adds those ids to `special`, as far as they are below `count`; tokens named by their text keep their places.
  func complete(_ special: SpecialIDs, count: Int) -> SpecialIDs {
    var special = special
    let ends = endIDs.filter { $0 >= 0 && $0 < count }
    special.beginning = special.beginning ?? beginningID.flatMap { $0 >= 0 && $0 < count ? $0 : nil }
    special.end = special.end ?? ends.first
    special.stops.formUnion(ends)
    return special
  }

  /// A token given as a string or as an object.
  private static func content(_ value: JSONValue?) -> String? {
    value?.stringValue ?? value?["content"]?.stringValue
  }

  /// A chat template: one text, or a list of named ones of which "default" counts.
  private static func template(_ value: JSONValue?) -> String? {
    if let text = value?.stringValue { return text }
    let named = value?.arrayValue ?? []
    let chosen = named.first { $0["name"]?.stringValue == "default" } ?? named.first
    return chosen?["template"]?.stringValue
  }
}

extension TokenizerConfiguration.AddedToken {
  /// A token with the flags of a JSON object as transformers and tokenizers write them.
  init(id: Int, content: String, flags: JSONValue) {
    self.init(id: id, content: content)
    isSpecial = flags["special"]?.boolValue ?? false
    isSingleWord = flags["single_word"]?.boolValue ?? false
    stripsLeft = flags["lstrip"]?.boolValue ?? false
    stripsRight = flags["rstrip"]?.boolValue ?? false
    isNormalized = flags["normalized"]?.boolValue ?? false
  }
}
