/// Opens checkpoints of any supported kind, by content.
public enum ModelFiles {
  /// Opens `path`: a file of any supported kind, a folder, or an artifact.
  ///
  /// - Parameter tokenizer: a tokenizer file to use instead of the ones beside the model.
  /// - Throws: ``ModelFileError``.
  public static func open(_ path: String, tokenizer: String? = nil) throws -> ModelSource {
    throw ModelFileError(.notAModel, path: path, "no reader yet")
  }
}
