import TensorCore
// Stand-ins until the torch and artifact branches are merged; this file goes then.
enum TorchFile {
  static func recognizes(_ wholeFile: UnsafeRawBufferPointer) -> Bool { false }
  static func read(_ file: MappedFile) throws -> ModelSource {
    throw ModelFileError(.unsupported, path: file.path, "")
  }
}
enum Llama2cFile {
  static func recognizes(_ wholeFile: UnsafeRawBufferPointer) -> Bool { false }
  static func read(_ file: MappedFile) throws -> ModelSource {
    throw ModelFileError(.unsupported, path: file.path, "")
  }
}
enum ArtifactFile {
  static func recognizes(_ wholeFile: UnsafeRawBufferPointer) -> Bool { false }
  static func read(_ file: MappedFile) throws -> ModelSource {
    throw ModelFileError(.unsupported, path: file.path, "")
  }
}
