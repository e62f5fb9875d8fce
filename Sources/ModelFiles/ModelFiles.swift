import TensorCore

/// Opens checkpoints of any supported kind, by content.
public enum ModelFiles {
  /// Opens `path`: a file of any supported kind, a folder, or an artifact.
  ///
  /// What a file is, its content decides, never its name. Beside a safetensors, PyTorch or llama2.c file, its folder is
  /// searched for `config.json`, `generation_config.json` and tokenizer files; a file that is one shard of several opens
  /// them all. GGUF files and artifacts carry everything themselves.
  ///
  /// - Parameter tokenizer: a tokenizer file, or a folder with one, to use instead of the ones beside the model.
  /// - Throws: ``ModelFileError``.
  public static func open(_ path: String, tokenizer: String? = nil) throws -> ModelSource {
    let path = FileSystem.withoutTrailingSlashes(path)
    var source =
      switch try FileSystem.kind(of: path) {
      case .folder: try ModelFolder(path: path).open()
      case .file: try openFile(path)
      }
    if let tokenizer { try TokenizerSearch.replace(in: &source, by: tokenizer) }
    return source
  }

  /// Opens a file, and what belongs to it in its folder.
  private static func openFile(_ path: String) throws -> ModelSource {
    let file = try FileSystem.map(path)
    guard let reader = ModelReader.recognizing(file.region.buffer) else {
      if let index = try ShardIndex.ifIndex(file) {
        let folder = ModelFolder(path: FileSystem.folder(of: path))
        return try folder.addingCompanions(to: index.open(as: path))
      }
      throw FileDescription.refusal(of: file)
    }
    let folder = ModelFolder(path: FileSystem.folder(of: path))
    guard reader.usesCompanions else { return try folder.addingCompanions(to: reader.read(file)) }
    if let whole = try folder.shards(including: path, reader: reader) {
      return try folder.addingCompanions(to: whole)
    }
    return try folder.addingCompanions(to: reader.read(file))
  }
}

/// A kind of model file: how to recognize it, how to read it.
struct ModelReader: Sendable {
  /// What the kind is called in messages.
  let name: String
  /// Whether configuration and tokenizer lie beside the file, not in it, and one model may be several files.
  let usesCompanions: Bool
  /// Whether bytes look like this kind, damaged or not.
  let recognizes: @Sendable (UnsafeRawBufferPointer) -> Bool
  /// Reads a file of this kind.
  let read: @Sendable (MappedFile) throws -> ModelSource

  static let safetensors = ModelReader(
    name: "safetensors", usesCompanions: true, recognizes: SafetensorsFile.recognizes,
    read: SafetensorsFile.read)
  static let torch = ModelReader(
    name: "PyTorch", usesCompanions: true, recognizes: TorchFile.recognizes, read: TorchFile.read)
  static let gguf = ModelReader(
    name: "GGUF", usesCompanions: false, recognizes: GGUFFile.recognizes, read: GGUFFile.read)
  static let llama2c = ModelReader(
    name: "llama2.c", usesCompanions: true, recognizes: Llama2cFile.recognizes, read: Llama2cFile.read)
  static let artifact = ModelReader(
    name: "artifact", usesCompanions: false, recognizes: ArtifactFile.recognizes, read: ArtifactFile.read)

  /// The kinds, in the order that a folder with several is searched.
  static let byPreference = [safetensors, torch, gguf, llama2c, artifact]

  /// The kind that `bytes` are; the kinds without a magic number are tried last.
  static func recognizing(_ bytes: UnsafeRawBufferPointer) -> ModelReader? {
    [gguf, artifact, safetensors, torch, llama2c].first { $0.recognizes(bytes) }
  }
}
