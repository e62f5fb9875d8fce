import TensorCore

/// Finds the tokenizer files that lie beside a model.
enum TokenizerSearch {
  /// The longest tokenizer file that is read.
  static let sizeLimit = 512 << 20

  /// Names with one meaning. SentencePiece models have several; the first that is there counts.
  private static let names: [(name: String, kind: TokenizerFile.Kind)] = [
    ("tokenizer.json", .json), ("tokenizer.model", .sentencePiece), ("spiece.model", .sentencePiece),
    ("sentencepiece.bpe.model", .sentencePiece), ("vocab.txt", .wordPiece), ("tokenizer.bin", .llama2c),
    ("tokenizer_config.json", .configuration), ("special_tokens_map.json", .specialTokens),
    ("modules.json", .sentenceTransformers), ("1_Pooling/config.json", .pooling),
  ]
  private static let vocabularies: Set<TokenizerFile.Kind> = [.json, .sentencePiece, .wordPiece, .llama2c]

  /// The tokenizer files in `folder` for `source`, whose notes say what was passed over.
  ///
  /// Where no file has a usual name, files called `tok….model` or `tok….bin` are tried by content, those first whose
  /// vocabulary is as large as the model's, SentencePiece before llama2.c.
  static func files(in folder: String, for source: inout ModelSource) throws -> [TokenizerFile] {
    var found: [TokenizerFile] = []
    for (name, kind) in names where !found.contains(where: { $0.kind == kind }) {
      guard let file = try FileSystem.mapIfPresent(name, in: folder, limit: sizeLimit) else { continue }
      if kind == .sentencePiece || kind == .llama2c, self.kind(of: file.region.buffer) != kind {
        source.notes.append(
          "\(name) is left out: it is no \(kind == .llama2c ? "llama2.c" : "SentencePiece") tokenizer")
        continue
      }
      found.append(TokenizerFile(kind: kind, path: file.path, contents: file.region))
    }
    if !found.contains(where: { vocabularies.contains($0.kind) }),
      let other = try bestByContent(in: folder, vocabulary: source.configuration?["vocab_size"]?.intValue)
    {
      found.insert(other, at: 0)
      source.notes.append("tokenizer: \(FileSystem.name(of: other.path)), found by its content")
    }
    return found
  }

  /// Replaces the vocabulary files of `source` by the file or folder that the user named.
  ///
  /// - Throws: ``ModelFileError`` when it is no tokenizer.
  static func replace(in source: inout ModelSource, by path: String) throws {
    let path = FileSystem.withoutTrailingSlashes(path)
    if try FileSystem.kind(of: path) == .folder {
      let files = try files(in: path, for: &source)
      guard files.contains(where: { vocabularies.contains($0.kind) }) else {
        throw ModelFileError(.notAModel, path: path, "holds no tokenizer file")
      }
      source.tokenizerFiles = files
      return
    }
    let file = try FileSystem.map(path)
    guard file.region.count <= sizeLimit, let kind = kind(of: file.region.buffer) else {
      throw ModelFileError(
        .notAModel, path: path,
        "is no tokenizer: it looks like \(FileDescription.describe(file.region.buffer))",
        advice: "name a tokenizer.json, a SentencePiece model, a vocab.txt or a llama2.c tokenizer")
    }
    source.tokenizerFiles.removeAll { vocabularies.contains($0.kind) }
    source.tokenizerFiles.insert(TokenizerFile(kind: kind, path: path, contents: file.region), at: 0)
  }

  private static func bestByContent(in folder: String, vocabulary: Int?) throws -> TokenizerFile? {
    var best: (rank: Int, file: TokenizerFile)?
    for name in try FileSystem.files(in: folder) {
      guard name.lowercased().hasPrefix("tok"), name.hasSuffix(".bin") || name.hasSuffix(".model"),
        let file = try? FileSystem.mapIfPresent(name, in: folder, limit: sizeLimit)
      else { continue }
      let candidate: (kind: TokenizerFile.Kind, size: Int)
      if let size = sentencePieceSize(file.region.buffer) {
        candidate = (.sentencePiece, size)
      } else if let size = llama2cSize(file.region.buffer) {
        candidate = (.llama2c, size)
      } else {
        continue
      }
      let rank = (candidate.size == vocabulary ? 2 : 0) + (candidate.kind == .sentencePiece ? 1 : 0)
      if rank > best?.rank ?? -1 {
        best = (rank, TokenizerFile(kind: candidate.kind, path: file.path, contents: file.region))
      }
    }
    return best?.file
  }

  // MARK: By content

  /// The kind of vocabulary that `bytes` are, or nil.
  static func kind(of bytes: UnsafeRawBufferPointer) -> TokenizerFile.Kind? {
    if sentencePieceSize(bytes) != nil { return .sentencePiece }
    if llama2cSize(bytes) != nil { return .llama2c }
    if FileDescription.startsLikeJSON(bytes) {
      guard let document = try? JSONValue(parsing: bytes), document["model"]?.objectValue != nil else {
        return nil
      }
      return .json
    }
    return isWordPiece(bytes) ? .wordPiece : nil
  }

  /// The number of pieces of a SentencePiece `ModelProto`: top-level fields of number 1, messages that start with a
  /// piece; nil when the bytes are something else.
  static func sentencePieceSize(_ bytes: UnsafeRawBufferPointer) -> Int? {
    guard bytes.count > 4, bytes[0] == 0x0A, bytes[2] == 0x0A else { return nil }
    var place = 0
    var pieces = 0
    while place < bytes.count {
      guard let tag = varint(bytes, &place), tag >> 3 > 0, tag >> 3 < 1 << 20 else { return nil }
      switch tag & 7 {
      case 0: guard varint(bytes, &place) != nil else { return nil }
      case 1: place += 8
      case 2:
        guard let length = varint(bytes, &place), length <= UInt64(bytes.count - place) else { return nil }
        place += Int(length)
        if tag == 0x0A { pieces += 1 }
      case 5: place += 4
      default: return nil
      }
    }
    return place == bytes.count && pieces > 0 ? pieces : nil
  }

  private static func varint(_ bytes: UnsafeRawBufferPointer, _ place: inout Int) -> UInt64? {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 64, by: 7) {
      guard place < bytes.count else { return nil }
      let byte = bytes[place]
      place += 1
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    return nil
  }

  /// The number of tokens of a llama2.c `tokenizer.bin`: the longest token's length, then (score, length, bytes) until
  /// the file ends exactly; nil when the bytes are something else.
  static func llama2cSize(_ bytes: UnsafeRawBufferPointer) -> Int? {
    func integer(_ place: Int) -> Int {
      Int(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: Int32.self)))
    }
    guard bytes.count >= 12, case let longest = integer(0), (1...65536).contains(longest) else { return nil }
    var place = 4
    var tokens = 0
    while place < bytes.count {
      guard bytes.count - place >= 8, case let length = integer(place + 4), (0...longest).contains(length),
        length <= bytes.count - place - 8
      else { return nil }
      place += 8 + length
      tokens += 1
    }
    return tokens
  }

  /// Whether the bytes are lines of text with one of BERT's special tokens among the first.
  private static func isWordPiece(_ bytes: UnsafeRawBufferPointer) -> Bool {
    let head = bytes.prefix(8192)
    let lines = String(decoding: head, as: UTF8.self).split(whereSeparator: \.isNewline).prefix(1000)
    return lines.contains { $0 == "[UNK]" || $0 == "[CLS]" || $0 == "[PAD]" || $0 == "<unk>" }
  }
}
