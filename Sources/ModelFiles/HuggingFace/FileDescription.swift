import TensorCore

/// Says what a file that is no model looks like, so that the message helps.
enum FileDescription {
  /// The error for a file that no reader recognizes.
  static func refusal(of file: MappedFile) -> ModelFileError {
    let bytes = file.region.buffer
    guard !bytes.isEmpty else {
      return ModelFileError(.notAModel, path: file.path, "is empty", advice: "copy or download it again")
    }
    for (kind, what, advice) in advised where kind(bytes) {
      return ModelFileError(.notAModel, path: file.path, "is \(what)", advice: advice)
    }
    // llama2.c's first layout has no magic number; a file of the wrong length is recognized by its header alone, last.
    if (try? Llama2cHeader(bytes, path: file.path)) != nil {
      do { _ = try Llama2cFile.read(file) } catch let error as ModelFileError { return error } catch {}
    }
    return ModelFileError(
      .notAModel, path: file.path, "is no model: it looks like \(describe(bytes))",
      advice: "name a PyTorch, safetensors, GGUF or llama2.c file, or a folder that holds one")
  }

  /// What `bytes` look like, as part of a sentence: "a JPEG image".
  static func describe(_ bytes: UnsafeRawBufferPointer) -> String {
    guard !bytes.isEmpty else { return "an empty file" }
    if let (_, what, _) = advised.first(where: { $0.0(bytes) }) { return what }
    if let model = foreignModel(bytes) { return model }
    if let (_, what) = magics.first(where: { starts(bytes, with: $0.0) }) { return what }
    if bytes.count > 262, bytes[257..<262].elementsEqual("ustar".utf8) { return "a tar archive" }
    if TokenizerSearch.sentencePieceSize(bytes) != nil { return "a SentencePiece tokenizer" }
    if TokenizerSearch.llama2cSize(bytes) != nil { return "a llama2.c tokenizer" }
    if startsLikeJSON(bytes) { return describeJSON(bytes) }
    if bytes.prefix(1 << 20).allSatisfy({ $0 == 0 }) {
      return "zero bytes, as an interrupted download leaves"
    }
    if isText(bytes) { return "a text file" }
    let head = bytes.prefix(8).map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }
    return "unknown binary data, beginning with the bytes " + head.joined(separator: " ")
  }

  /// The kind of a model file that other programs read and we do not, or nil.
  static func foreignModel(_ bytes: UnsafeRawBufferPointer) -> String? {
    if isONNX(bytes) { return "an ONNX model" }
    if bytes.count >= 8, bytes[4..<8].elementsEqual("TFL3".utf8) { return "a TensorFlow Lite model" }
    return models.first { starts(bytes, with: $0.0) }?.1
  }

  /// Whether the first byte that is no space opens a JSON object.
  static func startsLikeJSON(_ bytes: UnsafeRawBufferPointer) -> Bool {
    bytes.prefix(64).first { ![0x20, 0x09, 0x0A, 0x0D].contains($0) } == UInt8(ascii: "{")
  }

  // MARK: Kinds

  /// Files that stand in for a model, and what to do about them.
  private static let advised: [(@Sendable (UnsafeRawBufferPointer) -> Bool, String, String)] = [
    (
      { starts($0, with: Array("version https://git-lfs.github.com/spec/".utf8)) },
      "a Git LFS pointer, not the file itself", "run `git lfs pull` in its repository"
    ),
    (
      isHTML, "an HTML page, not a model: the download went to a login or error page",
      "download the file itself"
    ),
  ]

  private static let models: [([UInt8], String)] = [
    ([0x89] + Array("HDF\r\n".utf8), "an HDF5 file, as Keras and TensorFlow write"),
    (Array("lmgg".utf8), "a GGML file from before GGUF"),
    (Array("fmgg".utf8), "a GGMF file from before GGUF"),
    (Array("tjgg".utf8), "a GGJT file from before GGUF"), (Array("algg".utf8), "a GGLA adapter of llama.cpp"),
  ]

  private static let magics: [([UInt8], String)] = [
    ([0xFF, 0xD8, 0xFF], "a JPEG image"), ([0x89] + Array("PNG\r\n".utf8), "a PNG image"),
    (Array("GIF8".utf8), "a GIF image"), (Array("%PDF-".utf8), "a PDF document"),
    ([0x50, 0x4B, 3, 4], "a ZIP archive without a PyTorch checkpoint"),
    ([0x50, 0x4B, 5, 6], "an empty ZIP archive"),
    ([0x1F, 0x8B], "a gzip file"), (Array("BZh".utf8), "a bzip2 file"),
    ([0xFD] + Array("7zXZ".utf8), "an xz file"),
    ([0x28, 0xB5, 0x2F, 0xFD], "a zstd file that is none of our artifacts"),
    (Array("7z".utf8) + [0xBC, 0xAF], "a 7-Zip archive"), ([0x93] + Array("NUMPY".utf8), "a NumPy array"),
    ([0x7F] + Array("ELF".utf8), "a program"), ([0x80, 2], "a Python pickle without a PyTorch state"),
    ([0x80, 3], "a Python pickle without a PyTorch state"),
    ([0x80, 4], "a Python pickle without a PyTorch state"),
    ([0x80, 5], "a Python pickle without a PyTorch state"),
  ]

  private static func starts(_ bytes: UnsafeRawBufferPointer, with magic: [UInt8]) -> Bool {
    bytes.count >= magic.count && bytes.starts(with: magic)
  }

  /// ONNX is a protobuf message without a magic number: `ir_version` (field 1, a small number), then one of the other
  /// fields of `ModelProto`.
  private static func isONNX(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes.count >= 16, bytes[0] == 0x08, (1...32).contains(bytes[1]) else { return false }
    return [0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72].contains(bytes[2])
  }

  @Sendable private static func isHTML(_ bytes: UnsafeRawBufferPointer) -> Bool {
    let head = String(decoding: bytes.prefix(256), as: UTF8.self).lowercased().drop { $0.isWhitespace }
    return head.hasPrefix("<!doctype html") || head.hasPrefix("<html")
  }

  private static func describeJSON(_ bytes: UnsafeRawBufferPointer) -> String {
    guard let document = try? JSONValue(parsing: bytes, allowsNonFinite: true) else { return "damaged JSON" }
    if document["model_type"] != nil || document["architectures"] != nil {
      return "a model's configuration without its weights"
    }
    if document["model"]?.objectValue != nil { return "a tokenizer" }
    return "a JSON document"
  }

  private static func isText(_ bytes: UnsafeRawBufferPointer) -> Bool {
    let head = bytes.prefix(4096)
    guard !head.contains(where: { $0 < 0x20 && !(0x09...0x0D).contains($0) || $0 == 0x7F }) else {
      return false
    }
    // A character may be cut at the end of the part that is looked at.
    return (0..<(head.count < bytes.count ? 4 : 1)).contains {
      String(validating: head.dropLast($0), as: UTF8.self) != nil
    }
  }
}
