public import Evaluation
internal import Foundation
internal import ModelFiles
public import Reporting
internal import TensorCore

/// A finished run on the disk.
public enum StoredRun {
  /// The most bytes of a report that is read.
  private static let limit = 1 << 28

  /// The run in `folder` (or that of a `report.json`), called by its folder's name.
  ///
  /// - Throws: ``JobError``, ``ReportError`` or another error of this package when it is none.
  public static func read(_ folder: String) throws -> RunComparison.Run {
    let isFile = folder.hasSuffix(".json")
    let place = isFile ? (folder as NSString).deletingLastPathComponent : folder
    let path = isFile ? folder : "\(folder)/report.json"
    let file = try MappedFile(path: path)
    guard file.region.count <= limit else {
      throw JobError(.badInput, "\(path): \(file.region.count) bytes are too many for a report")
    }
    let report: RunReport
    do { report = try RunReport(json: try JSONValue(parsing: file.region.buffer)) } catch let error
      as ReportError
    {
      throw JobError(.badInput, "\(path): \(error.description)")
    } catch let error as JSONError {
      throw JobError(.badInput, "\(path): \(error.description)")
    }
    let name = ((place as NSString).standardizingPath as NSString).lastPathComponent
    return RunComparison.Run(
      name: name.isEmpty || name == "." ? place : name, report: report,
      records: try report.stages.map { try records(of: $0, in: place.isEmpty ? "." : place) })
  }

  /// Runs by their folders; those of one name are called by their whole paths.
  public static func readAll(_ folders: [String]) throws -> [RunComparison.Run] {
    var runs = try folders.map { try read($0) }
    for place in runs.indices where runs.count(where: { $0.name == runs[place].name }) > 1 {
      runs[place].name = folders[place]
    }
    return runs
  }

  /// The predictions of a stage; nil where the report names none, or their file is not there.
  private static func records(of stage: StageReport, in folder: String) throws -> TokenRecords? {
    guard let file = stage.tokens?.file, case .language(let metrics, let method) = stage.evaluation else {
      return nil
    }
    // Names from a file must not lead elsewhere.
    let parts = ["\(stage.index)-\(stage.name)", file]
    guard parts.allSatisfy({ !$0.contains("/") && !$0.contains("\0") && $0 != ".." }) else {
      throw JobError(.badInput, "\(folder)/report.json: stage \(stage.index) names a file outside the run")
    }
    let path = "\(folder)/\(parts[0])/\(parts[1])"
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    let records = try TokenFile.read(path)
    guard records.key.text == method.textHash, records.tokens.count == metrics.tokens else {
      throw JobError(.badInput, "\(path): not the predictions that the report is of; run the job again")
    }
    return records
  }
}
