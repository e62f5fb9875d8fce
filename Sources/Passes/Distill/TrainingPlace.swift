internal import ModelFiles

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Where the training of a stage keeps what it takes to go on.
public struct TrainingPlace: Sendable, Equatable {
  /// The folder, made when there is something to keep.
  public var folder: String
  /// The stage, which names the file.
  public var stage: Int
  /// Whether to go on with what is there.
  public var resumes: Bool
  /// The seconds between two savings.
  public var interval = 60.0

  /// A place.
  public init(folder: String, stage: Int, resumes: Bool) {
    self.folder = folder
    self.stage = stage
    self.resumes = resumes
  }

  /// The file.
  public var path: String { "\(folder)/stage-\(stage).safetensors" }

  /// Makes the folder.
  ///
  /// - Throws: ``ModelFileError`` when the system refuses.
  func makeFolder() throws {
    try AtomicFile.makeFolder(folder)
  }

  /// Removes the states of a run that is over; other files stay, and then the folder does.
  public static func remove(_ folder: String, stages: Int) {
    for stage in 0..<stages { unlink(TrainingPlace(folder: folder, stage: stage, resumes: false).path) }
    rmdir(folder)
  }
}
